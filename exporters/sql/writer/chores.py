"""Chores that the writer's thread does beside its deliveries."""

from __future__ import annotations

from typing import Protocol


class IntegrityWatch(Protocol):
    """Counts, at intervals, the rows that break a rule of integrity."""

    def look(self) -> None:
        """Count, if that is due."""

    def after_fork(self) -> None:
        """Start anew in a forked child."""


class DailyCheck(Protocol):
    """The work that one process does once a day."""

    def look(self, is_busy: bool) -> None:
        """Begin it, if it is due."""

    def pause(self) -> float:
        """Return for how many seconds nothing is due."""

    def stop(self) -> None:
        """Begin nothing more."""
