"""How often a changing fragment is saved: soon at first, then with growing pauses.

A process that is killed loses at most what it did since its last checkpoint. Early in a run that is a
fraction of a second, and a long run is not written more often than needed.
"""

from __future__ import annotations

from typing import Final

FIRST_SECONDS: Final = 0.5


class Pace:
    """When the next save is due. Times are monotonic seconds."""

    __slots__ = ("_longest", "_pause", "due")

    def __init__(self, longest: float, now: float) -> None:
        """Begin at ``now``, the time of the first save; no pause is longer than ``longest``."""
        self._longest = longest
        self._pause = min(FIRST_SECONDS, longest)
        self.due = now
        """Earliest time of the next save."""
        self.saved(now)

    def saved(self, now: float) -> None:
        """Note a save. The next pause is twice as long, or short again if the last save was long ago."""
        if now - self.due > self._longest:
            self._pause = min(FIRST_SECONDS, self._longest)
        self.due = now + self._pause
        self._pause = min(self._pause * 2, self._longest)
