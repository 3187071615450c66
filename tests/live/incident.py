"""What an incident is: how to provoke it, which alerts it raises, and how to cure it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.live.system import System

Acts = Callable[[System], Iterator[None]]
"""Provokes an incident, yields while it lasts, and cures it."""


@dataclass(frozen=True)
class Incident:
    """An incident."""

    alerts: tuple[str, ...]
    """What it raises."""
    later: tuple[str, ...]
    """What it raises as well, but is silenced by one of the others until that is cured."""
    also: tuple[str, ...]
    """What may fire meanwhile."""
    how: str
    """How it is provoked."""
    cure: str
    """How it is cured."""
    last: Callable[[System], AbstractContextManager[None]]
    """The incident lasts within this block."""

    @property
    def all(self) -> tuple[str, ...]:
        """All alerts that it is to raise."""
        return self.alerts + self.later


def incident(
    *alerts: str, how: str, cure: str, later: tuple[str, ...] = (), also: tuple[str, ...] = ()
) -> Callable[[Acts], Incident]:
    """Make an incident of a function that provokes it, yields, and cures it; the arguments are its fields."""

    def make(acts: Acts) -> Incident:
        return Incident(alerts, later, also, how, cure, contextmanager(acts))

    return make
