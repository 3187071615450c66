"""Answers that are remembered for a time, in processes that are asked the same again and again.

What is kept is pickled, so that its size is known, and so that whoever is answered may change what they got.
Nothing is kept across processes: a command, which is a process of its own, always asks the database.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from exporters.sql.storage.runs import when_ended
from telemetry._internal.process.forks import register_in_child

if TYPE_CHECKING:
    from cachetools import TLRUCache

MOST_BYTES: Final = 4 * 1024 * 1024
"""Of all answers together; those not asked for longest make room."""

_Answer = TypeVar("_Answer")


class _Kept(NamedTuple):
    pickled: bytes
    seconds: float


class Answers:
    """The answers of one process. Safe from any thread."""

    def __init__(self, most_bytes: int = MOST_BYTES, timer: Callable[[], float] = time.monotonic) -> None:
        """Start with none.

        Args:
            most_bytes: of all answers together.
            timer: tells the seconds.
        """
        self._most_bytes = most_bytes
        self._timer = timer
        self.reset()

    def reset(self) -> None:
        """Start anew, in a forked child: a thread of the parent may have held the lock."""
        self._lock = threading.Lock()
        self._age = 0
        """How often everything was forgotten: an answer that was asked for before is not kept."""
        self._kept: TLRUCache[Hashable, _Kept] | None = None
        """Made by the first question: whoever only writes rollups needs no such library."""

    def get(self, question: Hashable, seconds: float, ask: Callable[[], _Answer]) -> _Answer:
        """Return the answer that was given at most ``seconds`` ago, else ask; an error is never kept.

        Args:
            question: everything that the answer depends on.
            seconds: 0 always asks, and keeps nothing.
            ask: finds the answer.
        """
        if seconds <= 0:
            return ask()
        with self._lock:
            cache = self._kept = self._new() if self._kept is None else self._kept
            age, kept = self._age, cache.get(question) if cache is not None else None
        if kept is not None:
            known: _Answer = pickle.loads(kept.pickled)
            return known
        answer = ask()
        if cache is None:
            return answer
        pickled = pickle.dumps(answer)
        with self._lock:
            if age == self._age and len(pickled) <= self._most_bytes:
                cache[question] = _Kept(pickled, seconds)
        return answer

    def forget(self) -> None:
        """Forget everything: there is news that the answers do not have."""
        with self._lock:
            self._age += 1
            self._kept = None

    def _new(self) -> TLRUCache[Hashable, _Kept] | None:
        try:
            from cachetools import TLRUCache
        except ImportError:
            return None
        return TLRUCache(self._most_bytes, _expiry, self._timer, getsizeof=lambda kept: len(kept.pickled))


def _expiry(_: Hashable, kept: _Kept, now: float) -> float:
    return now + kept.seconds


answers: Final = Answers()
"""Of this process."""

register_in_child(answers.reset)
when_ended.append(answers.forget)
