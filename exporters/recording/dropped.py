"""Follows objects until no reference to them is left, by callbacks of weak references.

The interpreter calls these callbacks at arbitrary moments, even during a garbage collection, and discards
what they raise: an exception from a signal handler of the application would be lost. So the callback here is
a built-in function, in which no signal is handled. ``weakref.finalize``, ``WeakSet`` and the weak
dictionaries use callbacks written in Python.
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
    """Values that belong to objects, available once the objects are gone. Safe from any thread."""

    def __init__(self) -> None:
        """Follow nothing yet."""
        self._gone: deque[weakref.ref[_T]] = deque()

    def follow(self, thing: _T, value: _V) -> weakref.ref[_T]:
        """Make ``value`` available once ``thing`` is gone. The caller has to keep the returned reference."""
        reference: _Reference[_T, _V] = _Reference(thing, self._gone.append)
        reference.value = value
        return reference

    def take(self) -> Iterator[_V]:
        """Remove and yield the values of objects that are gone.

        There are none during a garbage collection: an object that is finalized next may still use one.
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
        """Return the number of values that are available."""
        return len(self._gone)
