"""WebSocket connections of the client: realtime sessions and the responses API.

Traffic over a socket is billed although it is not an HTTP request. A connection counts as a call with an
unknown bill until an event reports a final usage; each further response is a call of its own. Events are read
when the client decodes them, so events that the application never reads are missed.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from types import ModuleType
from typing import Any, Final

import wrapt
from opentelemetry.trace import Tracer

from telemetry._internal.context import is_recording
from telemetry._internal.guard import guarded
from telemetry._internal.patches import definer, patch
from telemetry.usage.reader import read_answer

from .call import OpenAICall
from .spans import start_span
from .stream import final_usage

MODULES: Final = {
    "openai.resources.realtime.realtime": "realtime",
    "openai.resources.realtime.translations.translations": "realtime",
    "openai.resources.beta.realtime.realtime": "realtime",
    "openai.resources.live.live": "realtime",
    "openai.resources.live.sideband": "realtime",
    "openai.resources.live.forks": "realtime",
    "openai.resources.responses.responses": "chat",
    "openai.resources.beta.responses.responses": "chat",
}
"""Modules with connection classes, and the ``gen_ai.operation.name`` of their calls."""
_SESSION: Final = "_analysis_telemetry_session"
"""Attribute of a connection object for its :class:`_Session`."""

_tracer: Tracer | None = None
_hooked: set[str] = set()
"""Modules that are patched when they are imported."""


def instrument(tracer: Tracer) -> None:
    """Count connections from now on. Modules that are not loaded yet are patched on import."""
    global _tracer
    _tracer = tracer
    for name in MODULES:
        if name in sys.modules:
            _patch_managers(sys.modules[name])
        elif name not in _hooked:
            _hooked.add(name)
            wrapt.register_post_import_hook(_patch_managers, name)


def uninstrument() -> None:
    """Stop counting connections."""
    global _tracer
    _tracer = None


@guarded("openai")
def _patch_managers(module: ModuleType) -> None:
    if _tracer is None:
        return
    for kind in list(vars(module).values()):
        if isinstance(kind, type) and kind.__name__.endswith("ConnectionManager"):
            for name in ("__enter__", "__aenter__", "enter"):
                if name in vars(kind):
                    is_async = "__aenter__" in vars(kind)
                    patch(kind, name, _enter_async if is_async else _enter)


class _Session:
    """One connection and its open call."""

    __slots__ = ("_begin", "_call")

    def __init__(self, begin: Callable[[], OpenAICall | None]) -> None:
        self._begin = begin
        self._call = begin()

    @guarded("openai")
    def inspect(self, event: object) -> None:
        """Read the usage that an event reports, if any."""
        holder = final_usage(event)
        if holder is not None:
            call, self._call = self._call or self._begin(), None
            if call is not None:
                call.answer = read_answer(holder)
                call.describe_usage()
                call.end()
        elif self._call is None and _kind(event) == "response.created":
            self._call = self._begin()

    @guarded("openai")
    def close(self, error: BaseException | None = None) -> None:
        """End the open call, with an unknown bill unless connecting failed."""
        call, self._call = self._call, None
        if call is not None:
            call.has_unknown_bill = error is None
            call.end(error)


def _enter(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    session = _session(instance)
    try:
        connection = wrapped(*args, **kwargs)
    except BaseException as error:
        if session is not None:
            session.close(error)
        raise
    _follow(connection, session, _close)
    return connection


async def _enter_async(wrapped: Callable[..., Awaitable[Any]], instance: Any, args: Any, kwargs: Any) -> Any:
    session = _session(instance)
    try:
        connection = await wrapped(*args, **kwargs)
    except BaseException as error:
        if session is not None:
            session.close(error)
        raise
    _follow(connection, session, _close_async)
    return connection


@guarded("openai")
def _session(manager: Any) -> _Session | None:
    """Begin to count a connection; return None if nothing is recorded."""
    fields = {name.partition("__")[2]: value for name, value in vars(manager).items()}  # without mangling
    client, model = fields["client"], fields.get("model")
    operation = MODULES.get(type(manager).__module__, "realtime")

    def begin() -> OpenAICall | None:
        if _tracer is None:
            return None
        is_azure = "Azure" in type(client).__name__
        call = OpenAICall(operation, str(client._base_url.host), is_azure, {"model": model})
        call.span = start_span(_tracer, operation, call.provider, call.asked_model)
        call.is_span_ours = call.span.is_recording()
        if not call.is_span_ours and not is_recording():
            return None
        call.begin()
        return call

    return None if _tracer is None else _Session(begin)


@guarded("openai")
def _follow(connection: Any, session: _Session | None, close: Callable[..., Any]) -> None:
    if session is not None:
        kind = connection.__class__
        patch(definer(kind, "parse_event"), "parse_event", _parse_event)
        patch(definer(kind, "close"), "close", close)
        setattr(connection, _SESSION, session)


def _parse_event(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    event, session = wrapped(*args, **kwargs), getattr(instance, _SESSION, None)
    if session is not None:
        session.inspect(event)
    return event


def _close(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    try:
        return wrapped(*args, **kwargs)
    finally:
        if (session := getattr(instance, _SESSION, None)) is not None:
            session.close()


async def _close_async(wrapped: Callable[..., Awaitable[Any]], instance: Any, args: Any, kwargs: Any) -> Any:
    try:
        return await wrapped(*args, **kwargs)
    finally:
        if (session := getattr(instance, _SESSION, None)) is not None:
            session.close()


def _kind(event: object) -> object:
    return event.get("type") if isinstance(event, Mapping) else getattr(event, "type", None)
