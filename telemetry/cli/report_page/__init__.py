"""Print the report: in colour with small charts on a terminal, and as plain text in a pipe."""

from .page import show

__all__ = ["show"]
