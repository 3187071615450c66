"""Dashboards, rules and configurations for an installation of one's own, with the host's names filled in.

:mod:`.contents` says what is written, :mod:`.comparison` what becomes of what is there; :mod:`.directory`
writes.
"""
