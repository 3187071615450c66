"""What is told in the middle of a garbage collection, put off until it is over.

The collector may run at any allocation, also in a thread that holds a lock of ours or of the SDK's, and what
it finalizes may end spans, stages and runs: an abandoned stream ends its call. Whoever took a lock then could
wait for ever for the very thread it is in. So nothing is done during a collection but to note what to do.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from telemetry._internal.guard import guarded, swallow
from telemetry._internal.process.garbage import is_collecting
from telemetry._internal.process.signals import of_handler

_P = ParamSpec("_P")
_R = TypeVar("_R")


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
        """Do what there is by now. Safe from any thread.

        What is put meanwhile, perhaps by a collection in another thread, is left to the next time.
        """
        for _ in range(len(self.acts)):
            try:
                act = self.acts.popleft()
            except IndexError:  # another thread was quicker
                return
            act()

    def do(self, act: Callable[[], object]) -> None:
        """Do ``act``, and do it again later if a signal interrupts it.

        What the signal's handler raised passes on.
        """
        try:
            act()
        except BaseException as error:
            if not isinstance(error, Exception) or of_handler(error) is not None:
                self.put(act)
            raise


class Deferring(Protocol):
    """Has methods that may be called during a collection."""

    deferred: Deferred
    """What was put off."""


_Self = TypeVar("_Self", bound=Deferring)


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
        def wrapper(self: _Self, /, *args: _P.args, **known: _P.kwargs) -> _R | None:
            if is_collecting():
                self.deferred.put(functools.partial(later, self, *args, **known))
                return None
            result: _R | None = None
            try:
                if self.deferred.acts:
                    self.deferred.work_off()
            finally:  # whatever interrupts that, this is done
                try:
                    result = method(self, *args, **known)
                except Exception as error:
                    swallow(component, error, method.__qualname__)
            return result

        return wrapper

    return decorate
