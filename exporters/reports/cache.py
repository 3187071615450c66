"""A cache of query results, for processes that repeat the same queries, such as a web server.

Results are kept as pickles, so that their size is known and a caller may change the object it gets. Each
process has a cache of its own; commands do not use it.
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
"""Of all results together; the least recently used are dropped first."""

_Result = TypeVar("_Result")


class _Kept(NamedTuple):
    pickled: bytes
    seconds: float


class Cache:
    """A cache of query results, which is thread-safe."""

    def __init__(self, most_bytes: int = MOST_BYTES, timer: Callable[[], float] = time.monotonic) -> None:
        """Create an empty cache.

        Args:
            most_bytes: maximum size of all results together.
            timer: returns seconds.
        """
        self._most_bytes = most_bytes
        self._timer = timer
        self.reset()

    def reset(self) -> None:
        """Empty the cache in a forked child, and renew the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()
        self._age = 0
        """How often the cache was emptied: a result queried before that is not kept."""
        self._kept: TLRUCache[Hashable, _Kept] | None = None
        """Created on first use: processes that only write rollups do not need the library."""

    def get(self, key: Hashable, seconds: float, query: Callable[[], _Result]) -> _Result:
        """Return the result that is at most ``seconds`` old, else that of ``query``, and keep it.

        An exception is never kept.

        Args:
            key: everything that the result depends on.
            seconds: with 0, always query, and keep nothing.
            query: returns the result.
        """
        if seconds <= 0:
            return query()
        with self._lock:
            store = self._kept = self._new() if self._kept is None else self._kept
            age, kept = self._age, store.get(key) if store is not None else None
        if kept is not None:
            known: _Result = pickle.loads(kept.pickled)
            return known
        result = query()
        if store is None:
            return result
        pickled = pickle.dumps(result)
        with self._lock:
            if age == self._age and len(pickled) <= self._most_bytes:
                store[key] = _Kept(pickled, seconds)
        return result

    def clear(self) -> None:
        """Empty the cache: the database has changed."""
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


cache: Final = Cache()
"""The cache of this process."""

register_in_child(cache.reset)
when_ended.append(cache.clear)
