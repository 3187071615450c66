"""Attempts of every OpenAI call: what the client's own retries hide.

Usage::

    from telemetry import openai

    openai.instrument()

The spans of ``opentelemetry-instrumentation-genai-openai`` then carry the attempts, 429s, backoff and
rate-limit headroom of their call: the ``analysis.openai.*`` names of
:class:`telemetry.conventions.Attribute`. A call which that instrumentation does not cover, such as
``client.post("/chat/completions", …)``, gets a span of ours, if it is of a kind that spends money. Where an
answer tells its usage and the span would not, it is added. No prompt and no completion is ever put on a
span.

How: ``request`` of the client's base classes runs once for each logical call, in all versions and for all
kinds of clients; ``send`` of the HTTP client underneath runs once for each attempt. Clients made before
``instrument()`` are covered too.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar, Token
from functools import cache
from typing import Any, Final

import wrapt
from opentelemetry import context, trace
from opentelemetry.trace import Span, Tracer, TracerProvider

from ._attempts import Attempt, attempt_attributes, failure_status, retry_after, settle, usage_attributes
from ._garbage import is_collecting
from ._guard import guarded
from ._openai_span import TOLD_IN_TOKENS, end_span, has_tool_fees, operation_of, start_span
from .conventions import GENAI_SCOPE, OPENAI_SCOPE, Attribute

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""Answers longer than this are not searched for usage."""

_log = logging.getLogger("telemetry")
_patches: dict[tuple[type, str], wrapt.FunctionWrapper[..., Any]] = {}
"""What stands in place of a method, by class and name."""
_tracer: Tracer | None = None


def instrument(tracer_provider: TracerProvider | None = None) -> None:
    """Count attempts from now on; a second call only changes the provider. Without ``openai``, do nothing.

    Args:
        tracer_provider: Where spans of ours go; default: the global one.
    """
    global _tracer
    try:
        from openai import _base_client
    except ImportError as error:
        _log.debug("OpenAI attempts are not counted: %s", error)
        return
    _tracer = trace.get_tracer(OPENAI_SCOPE, tracer_provider=tracer_provider)
    with guarded("openai"):
        _patch(_base_client.SyncAPIClient, "request", _request)
        _patch(_base_client.AsyncAPIClient, "request", _request_async)


def uninstrument() -> None:
    """Put the original methods back. A method that someone else wrapped after us stays, and does nothing."""
    global _tracer
    _tracer = None
    for (owner, name), patched in list(_patches.items()):
        if vars(owner).get(name) is patched:
            setattr(owner, name, patched.__wrapped__)
            del _patches[owner, name]


def _patch(owner: type, name: str, wrapper: Callable[..., Any]) -> None:
    if (owner, name) in _patches:
        return
    patched = wrapt.FunctionWrapper(vars(owner)[name], wrapper)
    # Of two threads that come here together, one wins; a lock could be held for ever in a forked child.
    if _patches.setdefault((owner, name), patched) is patched:
        setattr(owner, name, patched)


class _Call:
    """One logical call while it runs."""

    __slots__ = ("answer", "attempts", "context_token", "http", "options", "sending", "span", "token")

    def __init__(self, span: Span, http: object, options: Any) -> None:
        self.span = span
        self.http = http
        """The HTTP client of the call; what others send meanwhile (a token provider) is no attempt."""
        self.options = options
        """The request, as the client describes it."""
        self.attempts: list[Attempt] = []
        self.answer: Any = None
        """The last response, if it succeeded and its body was read."""
        self.sending = False
        self.token: Token[_Call | None] | None = None
        self.context_token: Token[context.Context] | None = None
        """Set while a span of ours is the current one."""


_current: ContextVar[_Call | None] = ContextVar("analysis-telemetry-openai-call", default=None)


def _request(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    call = _begin(_send, instance, *args, **kwargs)
    if call is None:
        return wrapped(*args, **kwargs)
    try:
        result = wrapped(*args, **kwargs)
    except BaseException as error:
        _end(call, error)
        raise
    _end(call)
    return result


async def _request_async(
    wrapped: Callable[..., Awaitable[Any]], instance: Any, args: Any, kwargs: Any
) -> Any:
    call = _begin(_send_async, instance, *args, **kwargs)
    if call is None:
        return await wrapped(*args, **kwargs)
    try:
        result = await wrapped(*args, **kwargs)
    except BaseException as error:
        _end(call, error)
        raise
    _end(call)
    return result


def _send(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    call = _current.get()
    if call is None or call.http is not instance or call.sending:
        return wrapped(*args, **kwargs)
    started = _start_attempt(call)
    try:
        response = wrapped(*args, **kwargs)
    except BaseException as error:
        _note_failure(call, started, error)
        raise
    _note_answer(call, started, response, kwargs)
    return response


async def _send_async(wrapped: Callable[..., Awaitable[Any]], instance: Any, args: Any, kwargs: Any) -> Any:
    call = _current.get()
    if call is None or call.http is not instance or call.sending:
        return await wrapped(*args, **kwargs)
    started = _start_attempt(call)
    try:
        response = await wrapped(*args, **kwargs)
    except BaseException as error:
        _note_failure(call, started, error)
        raise
    _note_answer(call, started, response, kwargs)
    return response


@guarded("openai")
def _begin(
    send: Callable[..., Any], client: Any, cast_to: Any, options: Any, *_: Any, **__: Any
) -> _Call | None:
    """Find or open the span of a call that begins; None if there is nothing to record."""
    if _tracer is None:
        return None
    span = trace.get_current_span()
    ours = not _awaits_attempts(span)
    operation = operation_of(options) if ours else None
    if ours and operation is None:
        return None
    _patch(_definer_of_send(client._client.__class__), "send", send)
    if operation is not None:
        span = start_span(_tracer, client, options, operation)
        if not span.is_recording():
            return None
    call, before, outer = _Call(span, client._client, options), context.get_current(), _current.get()
    try:
        if ours:
            call.context_token = context.attach(trace.set_span_in_context(span))
        call.token = _current.set(call)
        return call
    except BaseException as error:  # of a signal's handler: the call is not made
        _current.set(outer)
        if ours:
            context.attach(before)
            end_span(span, error)
        raise


def _end(call: _Call, error: BaseException | None = None) -> None:
    """Complete the span of a call that returned or raised; a span of ours ends with it."""
    try:
        _leave(call)
        _set_attempts(call)
        _set_usage(call, error)
    finally:
        if call.context_token is not None:
            with guarded("openai"):
                end_span(call.span, error)


@guarded("openai")
def _leave(call: _Call) -> None:
    try:
        if call.token is not None and not is_collecting():  # else setting a variable may crash CPython 3.11
            _current.reset(call.token)
    except ValueError:
        pass  # a coroutine that is closed instead of awaited ends in another context: nothing to reset
    finally:
        if call.context_token is not None:
            context.detach(call.context_token)


@guarded("openai")
def _set_attempts(call: _Call) -> None:
    settle(call.attempts)
    call.span.set_attributes(attempt_attributes(call.attempts))
    if has_tool_fees(call.options.json_data):
        call.span.set_attribute(Attribute.TOOL_FEES, True)


@guarded("openai")
def _set_usage(call: _Call, error: BaseException | None) -> None:
    """Add the usage where the instrumentation will not, or may not: it overwrites ours with equal values."""
    if call.answer is None:
        return
    uncovered = call.context_token is not None or error is not None
    if not uncovered and "x-stainless-raw-response" not in call.answer.request.headers:
        return
    if operation_of(call.options) in TOLD_IN_TOKENS:
        call.span.set_attributes(usage_attributes(_body(call.answer)))


def _awaits_attempts(span: Span) -> bool:
    """Say whether ``span`` is one of the official instrumentation whose request has not been made yet."""
    if getattr(getattr(span, "instrumentation_scope", None), "name", None) != GENAI_SCOPE:
        return False
    outer = _current.get()
    if not span.is_recording() or (outer is not None and outer.span is span):
        return False
    # It took one call already, and is still current: the next call is another one.
    return Attribute.ATTEMPTS not in (getattr(span, "attributes", None) or {})


@cache
def _definer_of_send(http_class: type) -> type:
    """Return the class to wrap: httpx, httpx2 or a subclass that overrides ``send``."""
    return next(kind for kind in http_class.__mro__ if "send" in vars(kind))


def _start_attempt(call: _Call) -> float:
    # Redirects and authentication inside one send are no attempts of their own.
    call.sending = True
    return time.monotonic()


@guarded("openai")
def _note_failure(call: _Call, started: float, error: BaseException) -> None:
    call.sending, call.answer = False, None
    call.attempts.append(Attempt(started, time.monotonic(), failure_status(error)))


@guarded("openai")
def _note_answer(call: _Call, started: float, response: Any, kwargs: Mapping[str, Any]) -> None:
    ended = time.monotonic()
    call.sending, call.answer = False, None
    code, headers = response.status_code, response.headers
    wait = retry_after(headers) if code >= 400 else None
    refusal = response if code == 429 else None
    call.attempts.append(Attempt(started, ended, str(code), wait, _limits(headers), refusal))
    if code < 300 and not kwargs.get("stream"):
        call.answer = response


def _limits(headers: Any) -> dict[str, str]:
    """Return the rate-limit headers, read in one pass: each look-up by name would go through them all."""
    return {
        name.lower().decode("latin-1"): value.decode("latin-1")
        for name, value in headers.raw
        if name[:12].lower() == b"x-ratelimit-"
    }


def _body(response: Any) -> object:
    if len(response.content) > MAX_BODY_BYTES:
        return None
    try:
        return json.loads(response.content)
    except ValueError:
        return None
