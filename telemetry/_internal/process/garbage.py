"""The garbage collection that is under way, and OpenTelemetry's current Context during one.

The collector may run at any allocation, and what it finalizes runs there and then: an abandoned stream ends
its call, a generator leaves its blocks. CPython 3.11 allocates where it sets a context variable, and if a
finalizer sets one in the middle of that, it goes on with memory that is freed (python/cpython#148891): the
process crashes. Later versions collect between two instructions of Python only.

The interpreter drops whatever a callback of the collector raises, and so the exception of a signal handler
that it runs between two instructions of that callback. The callbacks here are built-in functions: they have
no instructions.
"""

from __future__ import annotations

import gc
import sys
import threading
from contextvars import Token
from functools import partial
from typing import cast

from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.context.context import _RuntimeContext

_NEVER = object()


class _Started:
    """What the collector reported when a collection started last: a dict of its own each time."""

    start: object = _NEVER
    stop: object = None


class _Mine(threading.local):
    """The same of the last collection of this thread."""

    start: object = _NEVER


class _Latest:
    """What the collector reported last, at the start or at the end of a collection, in one attribute."""

    __slots__ = ("start",)
    start: object


_Latest.stop = _Latest.start  # type: ignore[attr-defined, misc]
_started, _mine, _latest = _Started(), _Mine(), _Latest()
_latest.start = None
gc.callbacks += [partial(setattr, seen) for seen in (_started, _mine, _latest)]  # ("start" or "stop", {…})


def is_collecting() -> bool:
    """Say whether the garbage collector called what runs here."""
    return _latest.start is _mine.start


def is_anyone_collecting() -> bool:
    """Say whether garbage is being collected in any thread; there is never more than one that does."""
    return _latest.start is _started.start


def spare_context() -> None:
    """From now on set no context variable for OpenTelemetry in a collection that it could crash."""
    inner = context._RUNTIME_CONTEXT
    if sys.version_info < (3, 12) and not isinstance(inner, SparedContext):
        context._RUNTIME_CONTEXT = SparedContext(inner)


class _Attached(threading.local):
    """What finalizers have attached in a collection of this thread."""

    collection: object = _NEVER
    contexts: tuple[Context, ...] = ()
    """The current one last."""


class SparedContext(_RuntimeContext):
    """The current Context, except that finalizers have one of their own, which goes with the collection."""

    def __init__(self, inner: _RuntimeContext) -> None:
        """Keep what is attached outside of collections in ``inner``."""
        self._inner = inner
        self._attached = _Attached()
        # Every call asks for it several times, and most processes never attach anything in a collection.
        self.get_current = inner.get_current  # type: ignore[method-assign]

    def attach(self, context: Context) -> Token[Context]:
        """Make ``context`` the current one."""
        attached = self._attached
        if _latest.start is not _mine.start:  # as is_collecting() says, without a call
            if attached.contexts:  # a finalizer left one behind, and the run in it
                attached.contexts = ()
            return self._inner.attach(context)
        self.__dict__.pop("get_current", None)  # from now on, ours is asked
        before = attached.contexts if attached.collection is _mine.start else ()
        attached.collection, attached.contexts = _mine.start, (*before, context)
        return cast(Token[Context], _Place(len(before)))

    def get_current(self) -> Context:
        """Return the current one."""
        attached = self._attached
        if attached.contexts and is_collecting() and attached.collection is _mine.start:
            return attached.contexts[-1]
        return self._inner.get_current()

    def detach(self, token: Token[Context]) -> None:
        """Make the one before current again; what was attached before the collection stays."""
        attached = self._attached
        if isinstance(token, _Place):
            if is_collecting() and attached.collection is _mine.start:
                attached.contexts = attached.contexts[:token]
        elif _latest.start is not _mine.start:
            self._inner.detach(token)


class _Place(int):
    """Where among what is attached a Context stands: the token for it."""
