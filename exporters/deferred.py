"""What is told in the middle of a garbage collection, put off until it is over.

The collector may run at any allocation, also in a thread that holds a lock of ours or of the SDK's, and what
it finalizes may end spans, stages and runs: an abandoned stream ends its call. Whoever took a lock then could
wait for ever for the very thread it is in. So nothing is done during a collection but to note what to do.
"""

from __future__ import annotations

import functools
import gc
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

_collector: int | None = None
"""The thread that collects garbage at this moment; there is never more than one."""


def _watch(phase: str, _: dict[str, int]) -> None:
    global _collector
    _collector = threading.get_ident() if phase == "start" else None


def _forget() -> None:
    """Forget, in a forked child, the collection of a thread that it does not have."""
    global _collector
    _collector = None


gc.callbacks.append(_watch)
os.register_at_fork(after_in_child=_forget)


def is_collecting() -> bool:
    """Say whether the garbage collector called what runs here."""
    return _collector is not None and _collector == threading.get_ident()


class Deferred:
    """What there is to do after a collection, in the order in which it was told."""

    def __init__(self, nudge: Callable[[], None]) -> None:
        """Start with nothing; ``nudge`` says that there is something, and must not take a lock."""
        self.acts: deque[Callable[[], object]] = deque()
        self._nudge = nudge

    def put(self, act: Callable[[], object]) -> None:
        """Note something to do."""
        self.acts.append(act)
        self._nudge()

    def work_off(self) -> None:
        """Do all of it. Safe from any thread."""
        while self.acts:
            try:
                act = self.acts.popleft()
            except IndexError:  # another thread was quicker
                return
            act()


class Deferring(Protocol):
    """Has methods that may be called during a collection."""

    deferred: Deferred
    """What was put off."""


_Self = TypeVar("_Self", bound=Deferring)


def deferrable(method: Callable[Concatenate[_Self, _P], _R]) -> Callable[Concatenate[_Self, _P], _R | None]:
    """Put calls of ``method`` off while garbage is collected; do first what was put off before."""

    @functools.wraps(method)
    def wrapper(self: _Self, /, *args: _P.args, **known: _P.kwargs) -> _R | None:
        if _collector is not None and is_collecting():
            self.deferred.put(functools.partial(method, self, *args, **known))
            return None
        if self.deferred.acts:
            self.deferred.work_off()
        return method(self, *args, **known)

    return wrapper
