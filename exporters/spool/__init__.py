"""Snapshots on a local disk, until the database has them.

The spool of a process and its layout are in :mod:`.directory`; each file is one :mod:`.entry`. What a dead
process left is delivered by another (:mod:`.takeover`), what the database refuses for good goes into
:mod:`.quarantine`, and files that are no valid entries are set aside (:mod:`.unreadable`).
"""
