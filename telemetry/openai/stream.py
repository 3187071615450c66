"""Answers that are read after the request has returned: event streams, and bodies read in pieces.

The usage of a stream is in one of its last events. Each event is inspected on its way to the application,
which gets the same objects; events that the application does not read are missed. However reading ends, the
HTTP response is closed, which ends the call if nothing else has.

To stop reading early is not an error, but the bill is then unknown unless the final usage was read; the usage
in an earlier event is a lower bound.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing, closing
from types import TracebackType
from typing import Any, Final

from telemetry._internal.guard import guarded
from telemetry._internal.patches import definer, patch
from telemetry.usage.answer import Answer
from telemetry.usage.reader import read_answer

from .call import OpenAICall
from .events import field, holder_of, is_final, shape, total_of
from .pending import is_anything_pending, resolve, wait_for

_KEY: Final = "analysis_telemetry.reading"
"""Key of the :class:`Reading` in the extensions of an HTTP response."""


def instrument() -> None:
    """Inspect what the client's streams yield from now on."""
    from openai import _streaming

    patch(_streaming.Stream, "__stream__", _stream)
    patch(_streaming.AsyncStream, "__stream__", _stream_async)


class Reading:
    """The reading of the answer to one call."""

    __slots__ = (
        "_background",
        "_best",
        "_call",
        "_has_model",
        "_is_final",
        "_is_handed_over",
        "_model",
        "_tier",
        "_total",
        "_was_closed",
        "is_advancing",
        "is_of_events",
        "is_over",
    )

    def __init__(self, call: OpenAICall, response: Any) -> None:
        """Follow an HTTP ``response`` whose body has not been read yet."""
        self._call = call
        self._best: object = None
        """The object with the highest usage so far."""
        self._background: object = None
        """The response that continues in the background if reading stops."""
        self._total = -1
        self._is_final = False
        self._is_handed_over = False
        self._was_closed = False
        self._model: str | None = None
        self._tier: str | None = None
        self.is_advancing = False
        """Whether the next event is being read."""
        self.is_over = False
        """Whether the body was closed before the request returned."""
        self.is_of_events = "text/event-stream" in response.headers.get("content-type", "")
        response.extensions[_KEY] = self
        kind = response.__class__
        patch(definer(kind, "close"), "close", _close)
        patch(definer(kind, "aclose"), "aclose", _close_async)

    def __enter__(self) -> None:
        """Begin to read events."""
        self.is_advancing = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the reading of events; ``GeneratorExit`` means that the application stopped reading."""
        try:
            if error is None:
                self.complete()
            elif isinstance(error, GeneratorExit):
                self.leave()
            else:
                self.fail(error)
        finally:
            self.is_advancing = False

    def hand_over(self) -> None:
        """Mark the request as returned: from now on, the application reads."""
        self._is_handed_over = True

    def inspect(self, event: Any) -> None:
        """Read usage, model and tier from an event."""
        find, has_tier = shape(event.__class__)
        holder = None if find is None else find(event)
        if holder is None:
            return
        usage = field(holder, "usage")
        if usage is not None and (total := total_of(usage)) >= self._total:
            self._best, self._total, self._is_final = holder, total, is_final(event)
        elif holder is not event and field(holder, "background"):
            self._background = holder
        if has_tier and (tier := field(holder, "service_tier")):
            self._tier = tier
        if self._model is None and (model := field(holder, "model")):
            self._model = model

    @guarded("openai")
    def complete(self) -> None:
        """End the call: everything was read."""
        self._end(None, is_whole=True)

    @guarded("openai")
    def leave(self) -> None:
        """End the call: the application stopped reading."""
        self._end(None)

    @guarded("openai")
    def fail(self, error: BaseException) -> None:
        """End the call, with ``error`` if it comes from the service or the connection."""
        self._end(error if isinstance(error, Exception) else None)

    @guarded("openai")
    def closed(self, response: Any) -> None:
        """Handle the closing of the response."""
        if self.is_advancing or self._call.is_done:
            return
        if not self._is_handed_over:
            self.is_over = True
        elif self.is_of_events:
            self._end(None)
        elif (content := getattr(response, "_content", None)) is not None:
            self._best = _decoded(content)
            self._end(None, is_whole=True)
        elif self._was_closed:  # read in pieces: the whole body is not available
            self._end(None)
        self._was_closed = True

    def _end(self, error: BaseException | None, *, is_whole: bool = False) -> None:
        call = self._call
        if call.is_done:
            return
        answer = Answer() if self._best is None else read_answer(self._best)
        call.answer = answer._replace(
            model=answer.model or self._model, service_tier=answer.service_tier or self._tier
        )
        call.describe_usage()
        if self._background is not None and not self._is_final and wait_for(call, self._background):
            return
        call.has_unknown_bill = not (is_whole or self._is_final) or self._total == 0
        call.end(error)


def final_usage(event: Any) -> object:
    """Return the object with the final usage in an event, or None."""
    find, _ = shape(event.__class__)
    holder = None if find is None else find(event)
    return holder if holder is not None and field(holder, "usage") is not None and is_final(event) else None


def reading_of(response: Any) -> Reading | None:
    """Return the :class:`Reading` of an HTTP response, or None if it belongs to no counted call."""
    extensions = getattr(response, "extensions", None)
    reading = extensions.get(_KEY) if isinstance(extensions, dict) else None
    return reading if isinstance(reading, Reading) else None


def _stream(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    reading, events = reading_of(instance.response), wrapped(*args, **kwargs)
    if reading is not None:
        return _read(reading, events)
    return _watch(events) if is_anything_pending() else events


def _stream_async(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    reading, events = reading_of(instance.response), wrapped(*args, **kwargs)
    if reading is not None:
        return _read_async(reading, events)
    return _watch_async(events) if is_anything_pending() else events


def _read(reading: Reading, events: Generator[Any, None, None]) -> Generator[Any, None, None]:
    with closing(events), reading:
        for event in events:
            _inspect(reading, event)
            reading.is_advancing = False
            yield event
            reading.is_advancing = True


async def _read_async(reading: Reading, events: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    async with aclosing(events):
        with reading:
            async for event in events:
                _inspect(reading, event)
                reading.is_advancing = False
                yield event
                reading.is_advancing = True


def _watch(events: Generator[Any, None, None]) -> Generator[Any, None, None]:
    """Search the stream of a free request for the results of open calls."""
    with closing(events):
        for event in events:
            _resolve(event)
            yield event


async def _watch_async(events: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    async with aclosing(events):
        async for event in events:
            _resolve(event)
            yield event


@guarded("openai")
def _resolve(event: object) -> None:
    resolve(holder_of(event))


def _inspect(reading: Reading, event: object) -> None:
    try:
        reading.inspect(event)
    except Exception as error:
        _report(error)


@guarded("openai")
def _report(error: Exception) -> None:
    raise error


def _close(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    try:
        return wrapped(*args, **kwargs)
    finally:
        if (reading := reading_of(instance)) is not None:
            reading.closed(instance)


async def _close_async(wrapped: Callable[..., Awaitable[Any]], instance: Any, args: Any, kwargs: Any) -> Any:
    try:
        return await wrapped(*args, **kwargs)
    finally:
        if (reading := reading_of(instance)) is not None:
            reading.closed(instance)


def _decoded(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None
