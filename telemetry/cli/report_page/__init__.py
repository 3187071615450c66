"""The report on a terminal: in colour, with small charts; plain when it is piped."""

from .page import show

__all__ = ["show"]
