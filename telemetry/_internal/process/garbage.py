"""The garbage collection that is under way, and OpenTelemetry's current Context during one.

The collector may run at any allocation, and it calls finalizers at once: an abandoned stream ends its call, a
generator leaves its blocks. CPython 3.11 allocates memory while it sets a context variable. If a finalizer
that runs at that moment sets one too, the interpreter goes on with freed memory (python/cpython#148891), and
the process crashes. Later versions run the collector only between two instructions of Python code.

The interpreter drops exceptions that are raised in a callback of the collector, including those of a signal
handler that it runs between two instructions of the callback. So the callbacks here are built-in functions,
which have no instructions.
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


class _LastStart:
    """The report of the collector at the start of the last collection: a new dict for each collection."""

    start: object = _NEVER
    stop: object = None


class _LastStartInThread(threading.local):
    """The report of the collector at the start of the last collection in this thread."""

    start: object = _NEVER


class _LastReport:
    """The last report of the collector, of the start or the end of a collection, in one attribute."""

    __slots__ = ("start",)
    start: object


_LastReport.stop = _LastReport.start  # type: ignore[attr-defined, misc]
_last_start, _last_start_in_thread, _last_report = _LastStart(), _LastStartInThread(), _LastReport()
_last_report.start = None
# The collector calls each of them with "start" or "stop", and its report.
gc.callbacks += [partial(setattr, state) for state in (_last_start, _last_start_in_thread, _last_report)]


def is_collecting() -> bool:
    """Return whether this code runs in a garbage collection, such as in a finalizer."""
    return _last_report.start is _last_start_in_thread.start


def is_anyone_collecting() -> bool:
    """Return whether a garbage collection is under way in any thread; there is never more than one."""
    return _last_report.start is _last_start.start


def protect_context() -> None:
    """From now on, let OpenTelemetry set no context variable during a collection, if that could crash."""
    inner = context._RUNTIME_CONTEXT
    if sys.version_info < (3, 12) and not isinstance(inner, ProtectedContext):
        context._RUNTIME_CONTEXT = ProtectedContext(inner)


class _Attached(threading.local):
    """The contexts that finalizers have attached during a collection in this thread."""

    collection: object = _NEVER
    contexts: tuple[Context, ...] = ()
    """The current context is the last one."""


class ProtectedContext(_RuntimeContext):
    """The current Context; finalizers have one of their own, which ends with the collection."""

    def __init__(self, inner: _RuntimeContext) -> None:
        """Keep what is attached outside of collections in ``inner``."""
        self._inner = inner
        self._attached = _Attached()
        # A shortcut: every call gets it several times, and most processes attach nothing in a collection.
        self.get_current = inner.get_current  # type: ignore[method-assign]

    def attach(self, context: Context) -> Token[Context]:
        """Make ``context`` the current one."""
        attached = self._attached
        if _last_report.start is not _last_start_in_thread.start:  # not is_collecting(), without a call
            if attached.contexts:  # a finalizer did not detach its context, which would keep its run alive
                attached.contexts = ()
            return self._inner.attach(context)
        self.__dict__.pop("get_current", None)  # the shortcut ends: from now on, our method is used
        collection = _last_start_in_thread.start
        before = attached.contexts if attached.collection is collection else ()
        attached.collection, attached.contexts = collection, (*before, context)
        return cast(Token[Context], _Place(len(before)))

    def get_current(self) -> Context:
        """Return the current context."""
        attached = self._attached
        if attached.contexts and is_collecting() and attached.collection is _last_start_in_thread.start:
            return attached.contexts[-1]
        return self._inner.get_current()

    def detach(self, token: Token[Context]) -> None:
        """Make the previous context current again; one from before the collection stays attached."""
        attached = self._attached
        if isinstance(token, _Place):
            if is_collecting() and attached.collection is _last_start_in_thread.start:
                attached.contexts = attached.contexts[:token]
        elif _last_report.start is not _last_start_in_thread.start:
            self._inner.detach(token)


class _Place(int):
    """The token of a context that a finalizer attached: its index among the attached contexts."""
