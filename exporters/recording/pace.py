"""How often something that changes is saved: soon at first, then with growing pauses.

A process that is killed loses at most what it did since the last save. Early in a run that is a fraction of a
second, and a long one is not written more often than needed.
"""

from __future__ import annotations

from typing import Final

FIRST_SECONDS: Final = 0.5


class Pace:
    """When the next save is due. Times are monotonic seconds."""

    __slots__ = ("_longest", "_pause", "due")

    def __init__(self, longest: float, now: float) -> None:
        """Begin at ``now``, when something was saved; no pause is longer than ``longest``."""
        self._longest = longest
        self._pause = min(FIRST_SECONDS, longest)
        self.due = now
        """When the next save may be."""
        self.saved(now)

    def saved(self, now: float) -> None:
        """Note a save: the next pause is twice as long, unless it has been quiet for long."""
        if now - self.due > self._longest:
            self._pause = min(FIRST_SECONDS, self._longest)
        self.due = now + self._pause
        self._pause = min(self._pause * 2, self._longest)
