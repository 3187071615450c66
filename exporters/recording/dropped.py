"""What nobody holds any more, noted where the interpreter tells of it.

It tells at arbitrary moments, also in the middle of a garbage collection, and drops whatever is raised
there: the exception of a signal handler of the application's would be lost. So what it calls is a built-in
function, which has no instructions between which a signal could be handled. ``weakref.finalize``, ``WeakSet``
and the weak dictionaries call functions written in Python.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from telemetry._internal.process.garbage import is_anyone_collecting

_T = TypeVar("_T")
_V = TypeVar("_V")


class _Reference(weakref.ref[_T], Generic[_T, _V]):
    __slots__ = ("value",)

    value: _V


class Dropped(Generic[_T, _V]):
    """Values that belong to objects, taken once the objects are gone. Safe from any thread."""

    def __init__(self) -> None:
        """Follow nothing yet."""
        self._gone: deque[weakref.ref[_T]] = deque()

    def follow(self, thing: _T, value: _V) -> weakref.ref[_T]:
        """Have ``value`` taken once ``thing`` is gone, if the reference that is returned still exists."""
        reference: _Reference[_T, _V] = _Reference(thing, self._gone.append)
        reference.value = value
        return reference

    def take(self) -> Iterator[_V]:
        """Take the values of what is gone by now.

        Nothing is while garbage is collected: what is finalized next may yet use what was dropped before it.
        """
        known = len(self._gone)
        if known == 0 or is_anyone_collecting():
            return
        for _ in range(known):
            try:
                reference = self._gone.popleft()
            except IndexError:  # another thread was quicker
                return
            assert isinstance(reference, _Reference)
            yield reference.value

    def __len__(self) -> int:
        """Return how many are gone whose values were not taken yet."""
        return len(self._gone)
