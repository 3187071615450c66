"""Snapshots on a local disk, until the database has them.

The spool of a process and its layout are in :mod:`.directory`; each file is one :mod:`.entry`. What a dead
process left is delivered by another (:mod:`.takeover`), what the database refuses goes into
:mod:`.quarantine`, and what cannot be read is set aside (:mod:`.unreadable`).
"""
