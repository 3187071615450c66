"""T1: store a snapshot, and compute its run again.

:mod:`.interruptions` decides when a run counts as interrupted, :mod:`.intake` to which analysis an intake is
charged.
"""
