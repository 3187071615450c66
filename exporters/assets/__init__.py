"""Dashboards, rules and configurations for an installation of one's own, with the host's names filled in.

:mod:`.contents` says what is written, :mod:`.directory` compares it with what is there and writes it.
"""
