"""A task that the writer's thread begins between deliveries."""

from __future__ import annotations

from typing import Protocol


class DailyCheck(Protocol):
    """The work that one of all processes does once a day."""

    def look(self, is_busy: bool) -> None:
        """Begin the check if it is due; ``is_busy`` may postpone it."""

    def pause(self) -> float:
        """Return the seconds until it is due."""

    def stop(self) -> None:
        """Begin no check any more."""
