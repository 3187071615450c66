"""What the thread of the writer looks after beside its deliveries, as far as it has to know."""

from __future__ import annotations

from typing import Protocol


class IntegrityWatch(Protocol):
    """Counts now and then what does not agree."""

    def look(self) -> None:
        """Count, if it is time."""

    def after_fork(self) -> None:
        """Start anew in a forked child."""


class DailyCheck(Protocol):
    """What is done once a day."""

    def look(self, is_busy: bool) -> None:
        """Begin, if it is time."""

    def pause(self) -> float:
        """Return for how many seconds nothing is due."""

    def stop(self) -> None:
        """Begin no more."""
