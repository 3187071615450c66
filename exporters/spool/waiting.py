"""What of this process waits in the spool for the database, and what of it is to be delivered."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from .entry import Entry


@dataclass(slots=True)
class Waiting:
    """One fragment of this process that the database does not know, or not yet in its newest state."""

    fragment_id: str
    seq: int
    is_closed: bool
    size: int
    since: float
    """Monotonic time of the oldest state that was not delivered."""
    sent_seq: int = 0
    entry: Entry | None = None
    """Its newest state; None when that is on the disk only."""
    is_on_disk: bool = False

    @property
    def is_due(self) -> bool:
        """Whether there is something to deliver."""
        return self.seq > self.sent_seq


class Backlog:
    """All that waits. For one thread at a time.

    Nothing here looks at all of it: an outage may be long, and then many thousands wait.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.bytes = 0
        """What it has on the disk."""
        self._waiting: dict[str, Waiting] = {}
        self._due: set[str] = set()
        self._open: set[str] = set()
        self._loaded: set[str] = set()
        """Those that have ended and are on the disk, and perhaps in memory, too."""

    def __len__(self) -> int:
        """Return how many fragments wait."""
        return len(self._waiting)

    def get(self, fragment_id: str) -> Waiting | None:
        """Return the fragment of this name, if it waits."""
        return self._waiting.get(fragment_id)

    def add(self, waiting: Waiting, known: Waiting | None) -> None:
        """Keep the new state of a fragment, in the place of what was ``known`` of it, to be delivered."""
        self.bytes += waiting.size - (known.size if known else 0)
        self._waiting[waiting.fragment_id] = waiting
        self._due.add(waiting.fragment_id)
        (self._open.discard if waiting.is_closed else self._open.add)(waiting.fragment_id)

    def written(self, waiting: Waiting) -> None:
        """Note that the newest state of a fragment is on the disk."""
        waiting.is_on_disk = True
        if waiting.is_closed:
            self._loaded.add(waiting.fragment_id)

    def lost(self) -> None:
        """Note that nothing is on the disk any more."""
        for waiting in self._waiting.values():
            waiting.is_on_disk = False

    def delivered(self, fragment_id: str, seq: int) -> bool:
        """Note that the database has a state of a fragment; return whether that was the last word."""
        waiting = self._waiting.get(fragment_id)
        if waiting is None:
            return False
        waiting.sent_seq = max(waiting.sent_seq, seq)
        waiting.since = time.monotonic()
        if not waiting.is_due:
            self._due.discard(fragment_id)
        return waiting.is_closed and not waiting.is_due

    def drop(self, fragment_id: str) -> None:
        """Forget a fragment."""
        waiting = self._waiting.pop(fragment_id, None)
        for names in (self._due, self._open, self._loaded):
            names.discard(fragment_id)
        if waiting is not None:
            self.bytes -= waiting.size

    def due(self) -> list[Waiting]:
        """Return what is to be delivered."""
        return [self._waiting[each] for each in self._due]

    def count_due(self) -> int:
        """Return how many fragments are to be delivered."""
        return len(self._due)

    def due_among(self, fragment_ids: Collection[str]) -> set[str]:
        """Return which of these fragments are to be delivered."""
        return self._due.intersection(fragment_ids)

    def checkpoints(self) -> list[Waiting]:
        """Return the open fragments that are on the disk, the largest first."""
        open_ones = [each for each in (self._waiting[name] for name in self._open) if each.size]
        return sorted(open_ones, key=lambda each: each.size, reverse=True)

    def unload(self) -> None:
        """Keep what has ended on the disk only."""
        for waiting in (self._waiting[each] for each in self._loaded):
            if waiting.is_on_disk:
                waiting.entry = None
        self._loaded.clear()
