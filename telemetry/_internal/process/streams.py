"""End abandoned answer streams in a thread of their own.

The official instrumentation ends the call of an abandoned stream in ``__del__``, and the stream closes its
connection in the ``finally`` of a generator. The interpreter runs both when it finds the stream unreachable,
mostly in a garbage collection, and drops exceptions raised there: one of a signal handler would be lost. So
``__del__`` becomes a built-in function here that only queues the stream, and the stream's source is kept
alive until a thread takes it from the queue.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator
from functools import partial
from queue import SimpleQueue
from types import GeneratorType
from typing import Any, Final

from telemetry._internal.context import suppressed
from telemetry._internal.guard import guarded

LONGEST_WAIT_SECONDS: Final = 0.1
"""How long the end of a run waits for streams; one that ends later is counted in a late fragment."""


class _Keeper:
    """Keeps the sources of streams alive, and ends streams that have become unreachable."""

    def __init__(self) -> None:
        self._abandoned: SimpleQueue[Any] = SimpleQueue()
        self._held: dict[int, tuple[object, ...]] = {}
        """By the id of the stream, which lives as long as its entry."""
        self._end: Callable[[Any], None] | None = None
        self._threads: dict[str, threading.Thread] = {}
        # ``del stream`` looks ``__del__`` up, which calls the outer partial, and calls what that returns.
        self.finalizer = property(partial(partial, self._abandoned.put))

    def keep(self, base: Any, kinds: tuple[Any, ...]) -> None:
        """Keep the streams of ``kinds``, subclasses of ``base``, which ends them in ``__del__``."""
        if self._end is not None:
            return
        self.follow_forks()
        self._end = base.__del__
        base.__del__ = self.finalizer
        for kind in kinds:
            kind._bind_stream = self._holding(kind._bind_stream)

    def settle(self) -> None:
        """Wait briefly until the streams abandoned so far have ended."""
        if not self._held or threading.current_thread() in self._threads.values():
            return
        reached = threading.Event()
        self._abandoned.put(reached)
        self._start()
        reached.wait(LONGEST_WAIT_SECONDS)

    def _holding(self, bind: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def bind_and_hold(wrapper: Any, stream: Any) -> None:
            bind(wrapper, stream)
            with guarded("openai"):
                self._hold(wrapper)

        return bind_and_hold

    def _hold(self, wrapper: Any) -> None:
        if getattr(type(wrapper), "__del__", None) is not self.finalizer:
            return  # it has a __del__ of its own, so nothing would take it out of _held again
        parts = [getattr(wrapper, name, None) for name in ("_self_stream", "_self_iterator", "_self_aiter")]
        self._held[id(wrapper)] = (*parts, getattr(wrapper._self_invocation, "span", None))
        self._start()

    def _start(self) -> None:
        if self._threads:
            return
        thread = threading.Thread(target=self._run, name="telemetry-streams", daemon=True)
        # If two threads get here at once, one wins; a lock could stay locked in a forked child.
        if self._threads.setdefault("of this process", thread) is thread:
            with suppressed():  # otherwise the thread would inherit the current run, and keep it alive
                thread.start()

    def follow_forks(self) -> None:
        """Start the thread again in forked children, which do not inherit it."""
        os.register_at_fork(after_in_child=self._threads.clear)

    def _run(self) -> None:
        while True:
            item = self._abandoned.get()
            if type(item) is threading.Event:
                item.set()
            else:
                with guarded("openai"):
                    self._release(item)
            del item

    def _release(self, wrapper: Any) -> None:
        try:
            if self._end is not None:
                self._end(wrapper)
        finally:
            for generator in _generators(self._held.pop(id(wrapper), ())):
                generator.close()


def _generators(parts: tuple[object, ...]) -> Iterator[Generator[Any, Any, Any]]:
    """Yield the generators among ``parts`` and their attributes: they are in a cycle with the stream.

    The collector would close them in whichever thread it runs.
    """
    for part in parts:
        for value in (part, *getattr(part, "__dict__", {}).values()):
            if isinstance(value, GeneratorType):
                yield value


_keeper: Final = _Keeper()

settle: Final = _keeper.settle


def keep_streams() -> None:
    """From now on, end the streams of the official instrumentation in a thread of their own."""
    try:
        from opentelemetry.util.genai import stream
    except ImportError:
        return
    with guarded("openai"):
        base, kinds = stream._StreamTelemetry, (stream.SyncStreamWrapper, stream.AsyncStreamWrapper)
        if all(hasattr(kind, "_bind_stream") for kind in kinds) and hasattr(base, "__del__"):
            _keeper.keep(base, kinds)
