"""Blocks of code inside a run: the stages."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, overload

from opentelemetry import context, trace
from opentelemetry.context import Context

from telemetry._internal.context import STAGE_KEY, document_in, is_recording, recorder, run_in
from telemetry._internal.guard import guarded
from telemetry._internal.run import OpenStage, Run
from telemetry.conventions import Attribute, Stage

from . import arguments, spans
from .errors import count_error, failure_of, type_of
from .functions import in_block, is_suspended
from .spans import mark_failed

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Block:
    """A block of code inside a run, with a span of its own; a no-op outside a run."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._span: trace.Span = trace.INVALID_SPAN
        self._before: Context | None = None
        self._started = 0

    def _enter(self, name: str, key: str, value: object, attributes: Mapping[str, str] | None = None) -> None:
        self._run = run_in() if is_recording() else None
        if self._run is None:
            return
        self._before = ctx = context.get_current()
        try:
            ctx = context.set_value(key, value, ctx)
            self._span = spans.tracer().start_span(name, context=ctx, attributes=attributes)
            context.attach(trace.set_span_in_context(self._span, ctx))
            self._started = time.monotonic_ns()
        except BaseException as error:  # __exit__ is not called for a block that was not entered
            self._leave(type_of(error))
            raise

    def _leave(self, error_type: str | None) -> None:
        if self._run is None:
            return
        try:
            if error_type:
                mark_failed(self._span, error_type)
            self._span.end()
        finally:
            if self._before is not None and trace.get_current_span() is self._span:
                context.attach(self._before)


class StageBlock(Block):
    """The result of :func:`stage`: a context manager and a decorator."""

    def __init__(self, name: str) -> None:
        """Prepare a stage that is entered later; use :func:`stage` instead."""
        super().__init__()
        self._name = name
        self._stage: OpenStage | None = None

    def __call__(self, func: Callable[_P, _R]) -> Callable[_P, _R]:
        """Run each call of ``func`` in the stage: a plain, coroutine or generator function.

        A generator is in the stage while it works. The time of the stage is from its first step to its last;
        work that others do while it is suspended belongs to their own stage.
        """
        name = self._name
        return in_block(func, lambda: StageBlock(name))

    @property
    def is_recorded(self) -> bool:
        """Whether the stage was entered inside a run that is recorded."""
        return self._run is not None

    def __enter__(self) -> Self:
        """Enter the stage."""
        with guarded("api"):
            self._name = name = arguments.name("stage", self._name)[:64]
            self._enter(name, STAGE_KEY, name, {Attribute.STAGE: name})
            if self._run is not None:
                self._start_clock(self._run, name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the stage; an exception that leaves the block is counted, and propagates."""
        with guarded("api"):
            if self._run is not None:
                try:
                    count_error(self._run, self._name, error)
                    self._stop_clock()
                finally:
                    self._leave(failure_of(error))
                self._time_document(time.monotonic_ns() - self._started)

    def _start_clock(self, run: Run, name: str) -> None:
        self._stage = OpenStage(run, name, time.time_ns())
        try:
            recorder().stage_started(self._stage)
        except BaseException as error:  # __exit__ is not called for a block that was not entered
            self._stop_clock()
            self._leave(type_of(error))
            raise

    def _stop_clock(self) -> None:
        if self._stage is not None:
            recorder().stage_ended(self._stage, time.time_ns(), self._span)

    def _time_document(self, elapsed_ns: int) -> None:
        """Add the time of an extraction to the document in whose block it took place."""
        document = document_in()
        if document is not None and self._name == Stage.EXTRACTION:
            document.extraction_ns = (document.extraction_ns or 0) + elapsed_ns


@overload
def stage(name: str, /) -> StageBlock: ...
@overload
def stage(name: str, func: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
def stage(name: str, func: Callable[..., Any] | None = None, /, *args: Any, **kwargs: Any) -> Any:
    """Put a block, a function or one call into a stage.

    ``with telemetry.stage("ranking"):`` works in synchronous and asynchronous code.
    ``@telemetry.stage("ranking")`` puts each call of a function into the stage; it may also be a coroutine
    function or a generator function.
    ``telemetry.stage("ranking", func, *args)`` calls ``func`` in the stage and returns its result, so that no
    code has to be indented; for a coroutine function it returns an awaitable.
    """
    if func is None:
        return StageBlock(name)
    if is_suspended(func):
        return StageBlock(name)(func)(*args, **kwargs)
    if inspect.iscoroutinefunction(func):
        return _await_in_stage(name, func(*args, **kwargs))
    with StageBlock(name):
        result = func(*args, **kwargs)
    return _await_in_stage(name, result) if inspect.isawaitable(result) else result


async def _await_in_stage(name: str, work: Awaitable[_R]) -> _R:
    with StageBlock(name):
        return await work
