"""What is told in the middle of a garbage collection, put off until it is over.

The collector may run at any allocation, also in a thread that holds a lock of ours or of the SDK's, and what
it finalizes may end spans, stages and runs: an abandoned stream ends its call. Whoever took a lock then could
wait for ever for the very thread it is in. So nothing is done during a collection but to note what to do.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

from telemetry._internal.garbage import is_collecting
from telemetry._internal.guard import guarded, swallow
from telemetry._internal.signals import of_handler

_P = ParamSpec("_P")
_R = TypeVar("_R")

DEFERRED_SECONDS: Final = 0.5
"""After how long the writer does what was put off during a collection, if no call of the application did."""


class Deferral:
    """What there is to do after a collection, in the order in which it was told."""

    def __init__(self, nudge: Callable[[], None]) -> None:
        """Start with nothing; ``nudge`` says that there is something, and must not take a lock."""
        self.actions: deque[Callable[[], object]] = deque()
        self.due: float | None = None
        """Monotonic time at which the writer does it, if no call of the application has by then."""
        self._nudge = nudge

    def clear(self) -> None:
        """Forget all of it, in a forked child."""
        self.actions.clear()
        self.due = None

    def add(self, action: Callable[[], object]) -> None:
        """Note something to do."""
        self.actions.append(action)
        self._nudge()

    def catch_up(self) -> None:
        """Do what there is by now. Safe from any thread.

        What is put meanwhile, perhaps by a collection in another thread, is left to the next time.
        """
        for _ in range(len(self.actions)):
            try:
                action = self.actions.popleft()
            except IndexError:  # another thread was quicker
                return
            action()

    def catch_up_later(self, now: float) -> None:
        """Do what was put off, but never at once: the collection may be going on, in another thread."""
        if not self.actions:
            self.due = None
        elif self.due is None:
            self.due = now + DEFERRED_SECONDS
        elif now >= self.due:
            self.due = None
            self.catch_up()

    def perform(self, action: Callable[[], object]) -> None:
        """Do ``action``, and do it again later if a signal interrupts it.

        What the signal's handler raised passes on.
        """
        try:
            action()
        except BaseException as error:
            if not isinstance(error, Exception) or of_handler(error) is not None:
                self.add(action)
            raise


class HasDeferral(Protocol):
    """Has methods that may be called during a collection."""

    deferral: Deferral
    """What was put off."""


_Self = TypeVar("_Self", bound=HasDeferral)


def deferrable(
    component: str,
) -> Callable[[Callable[Concatenate[_Self, _P], _R]], Callable[Concatenate[_Self, _P], _R | None]]:
    """Put calls of a method off while garbage is collected; do first what was put off before.

    Its errors stop here, as those of ``component`` do in :class:`telemetry._internal.guard.guarded`:
    both in one, because every call of the application comes through here several times.
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
            finally:  # whatever interrupts that, this is done
                try:
                    result = method(self, *args, **kwargs)
                except Exception as error:
                    swallow(component, error, method.__qualname__)
            return result

        return wrapper

    return decorate
