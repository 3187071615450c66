"""Deferral of work that arrives during a garbage collection until the collection is over.

The collector may run at any allocation, even in a thread that holds a lock of telemetry or of the SDK, and
what it finalizes may end spans, stages and runs: an abandoned stream ends its call. Code that takes a lock
then could wait forever for its own thread. So work that arrives during a collection is done later.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

from telemetry._internal.guard import guarded, swallow
from telemetry._internal.process.garbage import is_collecting
from telemetry._internal.process.signals import of_handler

_P = ParamSpec("_P")
_R = TypeVar("_R")

DEFERRED_SECONDS: Final = 0.5
"""Delay after which the writer does deferred work that no call of the application has done."""


class Deferral:
    """The work that was deferred, in the order of its arrival."""

    def __init__(self, nudge: Callable[[], None]) -> None:
        """Start empty; ``nudge`` is called when work is added, and must not take a lock."""
        self.actions: deque[Callable[[], object]] = deque()
        self.due: float | None = None
        """Monotonic time at which the writer does the work; None while nothing is scheduled."""
        self._nudge = nudge

    def clear(self) -> None:
        """Discard all work, in a forked child."""
        self.actions.clear()
        self.due = None

    def add(self, action: Callable[[], object]) -> None:
        """Add work."""
        self.actions.append(action)
        self._nudge()

    def catch_up(self) -> None:
        """Do the work that has been added so far. Safe to call from any thread.

        Work that is added meanwhile, perhaps by a collection in another thread, is left to the next call.
        """
        for _ in range(len(self.actions)):
            try:
                action = self.actions.popleft()
            except IndexError:  # another thread was quicker
                return
            action()

    def catch_up_later(self, now: float) -> None:
        """Do the work after a delay, because the collection may still be running in another thread."""
        if not self.actions:
            self.due = None
        elif self.due is None:
            self.due = now + DEFERRED_SECONDS
        elif now >= self.due:
            self.due = None
            self.catch_up()

    def perform(self, action: Callable[[], object]) -> None:
        """Run ``action``; if a signal handler interrupts it with an exception, also add it as work.

        The exception of the handler is raised again.
        """
        try:
            action()
        except BaseException as error:
            if not isinstance(error, Exception) or of_handler(error) is not None:
                self.add(action)
            raise


class HasDeferral(Protocol):
    """An object with methods that may be called during a collection."""

    deferral: Deferral
    """The work that was deferred."""


_Self = TypeVar("_Self", bound=HasDeferral)


def deferrable(
    component: str,
) -> Callable[[Callable[Concatenate[_Self, _P], _R]], Callable[Concatenate[_Self, _P], _R | None]]:
    """Return a decorator that defers calls of a method during a garbage collection.

    Other calls first do the work that was deferred. Errors are counted for ``component`` and go no further,
    as with :class:`telemetry._internal.guard.guarded`: one wrapper does both, because every call of the
    application passes several of these methods.
    """

    def decorate(
        method: Callable[Concatenate[_Self, _P], _R],
    ) -> Callable[Concatenate[_Self, _P], _R | None]:
        later = guarded(component)(method)

        @functools.wraps(method)
        def wrapper(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R | None:
            if is_collecting():
                self.deferral.add(functools.partial(later, self, *args, **kwargs))
                return None
            result: _R | None = None
            try:
                if self.deferral.actions:
                    self.deferral.catch_up()
            finally:  # make the call even if a signal handler interrupts the older work
                try:
                    result = method(self, *args, **kwargs)
                except Exception as error:
                    swallow(component, error, method.__qualname__)
            return result

        return wrapper

    return decorate
