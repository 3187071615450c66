"""From what happens in this process to the state of its runs.

Spans and calls arrive at the :mod:`.processor`, runs and blocks of the API at the :mod:`.recorder`. What a
call used, and what that costs, is read in :mod:`.calls`.
"""
