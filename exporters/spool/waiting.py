"""The fragments of this process in the spool, and which of them are to be delivered."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from .entry import Entry


@dataclass(slots=True)
class Waiting:
    """A fragment that is open, or whose newest state the database does not have yet."""

    fragment_id: str
    seq: int
    is_closed: bool
    size: int
    since: float
    """Monotonic time since which a state of it waits."""
    sent_seq: int = 0
    entry: Entry | None = None
    """The newest state; None if it is on the disk only."""
    is_on_disk: bool = False

    @property
    def is_due(self) -> bool:
        """Whether the newest state is to be delivered."""
        return self.seq > self.sent_seq


class Backlog:
    """All fragments that wait. Not safe from several threads.

    In a long outage many thousands may wait, so no operation on a fragment iterates over the others.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.bytes = 0
        """Size of all files."""
        self._waiting: dict[str, Waiting] = {}
        self._due: set[str] = set()
        self._open: set[str] = set()
        self._loaded: set[str] = set()
        """Ended fragments that are on the disk, and perhaps in memory too."""

    def __len__(self) -> int:
        """Return the number of fragments."""
        return len(self._waiting)

    def get(self, fragment_id: str) -> Waiting | None:
        """Return a fragment, or None."""
        return self._waiting.get(fragment_id)

    def add(self, waiting: Waiting, known: Waiting | None) -> None:
        """Add a state that is to be delivered; it replaces the ``known`` one of the same fragment."""
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
        """Note that no state is on the disk any more."""
        for waiting in self._waiting.values():
            waiting.is_on_disk = False

    def delivered(self, fragment_id: str, seq: int) -> bool:
        """Note that the database has a state of a fragment; return whether it was the final one."""
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
        """Return the fragments that are to be delivered."""
        return [self._waiting[name] for name in self._due]

    def count_due(self) -> int:
        """Return the number of fragments that are to be delivered."""
        return len(self._due)

    def due_among(self, fragment_ids: Collection[str]) -> set[str]:
        """Return those of the fragments that are to be delivered."""
        return self._due.intersection(fragment_ids)

    def checkpoints(self) -> list[Waiting]:
        """Return the open fragments that are on the disk, the largest first."""
        open_ones = [self._waiting[name] for name in self._open if self._waiting[name].size]
        return sorted(open_ones, key=lambda waiting: waiting.size, reverse=True)

    def unload(self) -> None:
        """Release the memory of ended fragments that are on the disk."""
        for waiting in (self._waiting[name] for name in self._loaded):
            if waiting.is_on_disk:
                waiting.entry = None
        self._loaded.clear()
