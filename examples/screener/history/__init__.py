"""Years of analyses that never were.

:mod:`.history` says who asks for jobs, and when; :mod:`.jobs` draws each job once and makes all its rows of
that: its documents (:mod:`.shelf`, :mod:`.outcome`, :mod:`.documents`), its calls (:mod:`.stages`) and what
they cost (:mod:`.prices`). :mod:`.writing` writes them into a database.
"""
