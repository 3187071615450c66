"""T1: store a snapshot, and derive its run anew.

When a run counts as interrupted is decided in :mod:`.interruptions`; which analysis an intake is charged to,
in :mod:`.intake`.
"""
