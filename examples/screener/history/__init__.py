"""Years of analyses that never were.

:mod:`.history` makes them, and :mod:`.writing` writes them into a database.
"""
