"""Snapshots on the disk, until the database has them.

A process keeps them in a :mod:`.directory` of its own, one :mod:`.entry` a file. What a dead process left is
taken over (:mod:`.takeover`); what the database refuses is set aside (:mod:`.quarantine`).
"""
