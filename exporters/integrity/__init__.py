"""Checks whether the stored rows are consistent, for a command and a gauge."""
