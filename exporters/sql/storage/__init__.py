"""T1: a snapshot is stored, and its run derived anew.

When a run is interrupted, and to which analysis an upload is charged, is decided in :mod:`.runs`.
"""
