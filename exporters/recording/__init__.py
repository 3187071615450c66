"""Records the runs of this process.

The :mod:`.processor` receives spans and calls, the :mod:`.recorder` the runs and blocks of the API. Both add
to the :mod:`.fragments` of this process. :mod:`.calls` determines what a call used and what it cost.
"""
