"""From what happens in this process to the state of its runs.

Spans and calls arrive at the :mod:`.processor`, runs and blocks of the API at the :mod:`.recorder`. Both add
to the :mod:`.fragments` of this process. What a call used, and what that costs, is read in :mod:`.calls`.
"""
