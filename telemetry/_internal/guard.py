"""Stop our own errors before they reach the host application.

Usage, as a context manager or as a decorator::

    with guarded("spool"):
        spool.put(snapshot)

An error is counted by component and logged once per interval. In tests (``telemetry.testing``) it is raised
instead, so that no swallowed error goes unnoticed. An exception of the application's signal handlers is not
our error, and passes.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from .context import suppressed
from .process.signals import let_pass

_P = ParamSpec("_P")
_R = TypeVar("_R")

LOG_INTERVAL_SECONDS = 60.0

_log = logging.getLogger("telemetry")
_lock = threading.RLock()
_counts: Counter[str] = Counter()
_logged_at: dict[str, float] = {}
_raising = False


def internal_errors() -> dict[str, int]:
    """Return the number of errors stopped in this process, by component."""
    with _lock:
        return dict(_counts)


def accounting_errors() -> int:
    """Return how many of these errors may have caused a call, or part of its cost, not to be counted."""
    return _counts["openai"] + _counts["processor"]


def reset_internal_errors() -> None:
    """Reset the counts: a forked child reports only its own."""
    global _lock
    _lock = threading.RLock()
    _counts.clear()
    _logged_at.clear()


def raise_internal_errors(on: bool) -> bool:
    """Raise our errors instead of swallowing them (for tests); return the previous setting."""
    global _raising
    before, _raising = _raising, on
    return before


def is_raising() -> bool:
    """Return whether our errors are raised, as in tests."""
    return _raising


def count_error(component: str) -> None:
    """Count an error that is logged elsewhere."""
    with _lock:
        _counts[component] += 1


class guarded:
    """Stop exceptions of ``component`` here; ``BaseException`` (exit, interrupt, cancellation) passes."""

    __slots__ = ("component",)

    def __init__(self, component: str) -> None:
        """Guard as ``component``, one of :data:`telemetry.conventions.COMPONENTS`."""
        self.component = component

    def __enter__(self) -> None:
        """Do nothing: the work is in the exit."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Count and log an ``Exception``; return whether it was swallowed."""
        if not isinstance(error, Exception):
            return False
        let_pass(error)
        report(self.component, error)
        return not _raising

    def __call__(self, func: Callable[_P, _R]) -> Callable[_P, _R | None]:
        """Guard every call of ``func``, which returns None if it fails."""

        @functools.wraps(func)
        def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R | None:
            try:
                return func(*args, **kwargs)
            except Exception as error:
                swallow(self.component, error, getattr(func, "__qualname__", ""))
                return None

        return wrapper


def swallow(component: str, error: Exception, called: str = "") -> None:
    """Count and log ``error``, which is being handled; raise it in tests, or if a signal handler raised it.

    Args:
        component: one of :data:`telemetry.conventions.COMPONENTS`.
        error: with its traceback.
        called: name of the function that failed, where the traceback does not show it.
    """
    let_pass(error)
    report(component, error, called)
    if _raising:
        raise error


def report(component: str, error: Exception, called: str = "") -> None:
    """Count ``error``, and log it unless one of its component was logged within the interval.

    Args:
        component: one of :data:`telemetry.conventions.COMPONENTS`.
        error: with its traceback.
        called: name of the function that failed, where the traceback does not show it.
    """
    now = time.monotonic()
    with _lock:
        _counts[component] += 1
        due = now - _logged_at.get(component, -LOG_INTERVAL_SECONDS) >= LOG_INTERVAL_SECONDS
        if due:
            _logged_at[component] = now
    if due:
        _log_without_tracing(component, error, called)


def _log_without_tracing(component: str, error: Exception, called: str) -> None:
    function, place = _where(error, called)
    with suppressed():
        _log.warning(
            "telemetry %s failed in %s (%s at %s); the application is not affected;"
            " logger telemetry shows the traceback at level DEBUG",
            component,
            function,
            type(error).__qualname__,
            place,
        )
        _log.debug("telemetry %s failed in %s", component, function, exc_info=error)


def _where(error: Exception, called: str) -> tuple[str, str]:
    """Return our function that was called, and the innermost line of our code as ``module:line``.

    The text of the error is left out: it may contain what was passed in.
    """
    ours = [
        (frame.f_code.co_qualname, f"{frame.f_globals['__name__']}:{line}")
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _is_ours(str(frame.f_globals.get("__name__", "")))
    ]
    function = ours[0][0] if ours else called or "a callback"
    return f"{function.replace('.<locals>', '')}()", ours[-1][1] if ours else "its call"


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in ("telemetry", "exporters") and module != __name__
