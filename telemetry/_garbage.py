"""The garbage collection that is under way, and OpenTelemetry's current Context during one.

The collector may run at any allocation, and what it finalizes runs there and then: an abandoned stream ends
its call, a generator leaves its blocks. CPython 3.11 allocates where it sets a context variable, and if a
finalizer sets one in the middle of that, it goes on with memory that is freed (python/cpython#148891): the
process crashes. Later versions collect between two instructions of Python only.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from contextvars import Token
from typing import cast

from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.context.context import _RuntimeContext

collector: int | None = None
"""The thread that collects garbage at this moment; there is never more than one."""
_attached: list[Context] = []
"""What finalizers have attached in this collection, the current one last."""


def _watch(phase: str, _: dict[str, int]) -> None:
    global collector
    collector = threading.get_ident() if phase == "start" else None
    if _attached:
        _attached.clear()


def _forget() -> None:
    """Forget, in a forked child, the collection of a thread that it does not have."""
    global collector
    collector = None
    _attached.clear()


gc.callbacks.append(_watch)
os.register_at_fork(after_in_child=_forget)


def is_collecting() -> bool:
    """Say whether the garbage collector called what runs here."""
    return collector is not None and collector == threading.get_ident()


def spare_context() -> None:
    """From now on set no context variable for OpenTelemetry in a collection that it could crash."""
    inner = context._RUNTIME_CONTEXT
    if sys.version_info < (3, 12) and not isinstance(inner, SparedContext):
        context._RUNTIME_CONTEXT = SparedContext(inner)


class SparedContext(_RuntimeContext):
    """The current Context, except that finalizers have one of their own, which goes with the collection."""

    def __init__(self, inner: _RuntimeContext) -> None:
        """Keep what is attached outside of collections in ``inner``."""
        self._inner = inner

    def attach(self, context: Context) -> Token[Context]:
        """Make ``context`` the current one."""
        if collector is None or not is_collecting():
            return self._inner.attach(context)
        _attached.append(context)
        return cast(Token[Context], _Place(len(_attached) - 1))

    def get_current(self) -> Context:
        """Return the current one."""
        return _attached[-1] if _attached and is_collecting() else self._inner.get_current()

    def detach(self, token: Token[Context]) -> None:
        """Make the one before current again; what was attached before the collection stays."""
        if isinstance(token, _Place):
            if is_collecting():
                del _attached[token:]
        elif collector is None or not is_collecting():
            self._inner.detach(token)


class _Place(int):
    """Where in ``_attached`` a Context stands: the token for it."""
