"""Count every OpenAI call at the HTTP level: its attempts, its usage and the client's hidden retries.

Usage::

    from telemetry import openai

    openai.instrument()

The facts of a call are passed to the recorder directly, so that no total depends on spans: see
:mod:`telemetry.openai.call`. The spans of ``opentelemetry-instrumentation-genai-openai`` get the attempts,
429s, backoff and rate-limit headroom of their call: the ``analysis.openai.*`` names of
:class:`telemetry.conventions.Attribute`. A call that has no such span, such as
``client.post("/chat/completions", …)``, gets one of ours, if it may cost money: see
:mod:`telemetry.usage.endpoints`. If the official span lacks the usage that an answer reports, it is added. No
prompt and no completion is ever put on a span.

How it works: ``request`` of the client's base classes runs once for each logical call, in all versions and
for all kinds of clients; ``send`` of the HTTP client below it runs once for each attempt. Both are wrapped,
also for clients that exist already. :mod:`telemetry.openai.stream` inspects what is read after ``request``
has returned.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar, Token
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import Tracer, TracerProvider

from telemetry._internal.context import is_recording
from telemetry._internal.guard import guarded
from telemetry._internal.patches import definer, is_patched, patch, unpatch
from telemetry._internal.process.garbage import is_collecting
from telemetry.conventions import OPENAI_SCOPE
from telemetry.usage.endpoints import operation_of

from . import pending, socket
from . import stream as _openai_stream
from .attempts import Attempt, failure_status, retry_after
from .call import OpenAICall, awaits_call, claim
from .exchange import answer_of, body_of, body_of_request, host_of, is_azure, is_decoded, limits_in
from .spans import start_span

_log = logging.getLogger("telemetry")
_tracer: Tracer | None = None


def instrument(tracer_provider: TracerProvider | None = None) -> None:
    """Count attempts from now on; a second call only changes the provider. Without ``openai``, do nothing.

    Args:
        tracer_provider: provider of our own spans; default: the global one.
    """
    global _tracer
    try:
        from openai import _base_client
    except ImportError as error:
        _log.debug("OpenAI attempts are not counted: %s", error)
        return
    _tracer = trace.get_tracer(OPENAI_SCOPE, tracer_provider=tracer_provider)
    with guarded("openai"):
        patch(_base_client.SyncAPIClient, "request", _request)
        patch(_base_client.AsyncAPIClient, "request", _request_async)
        _openai_stream.instrument()
        socket.instrument(_tracer)


def uninstrument() -> None:
    """Restore the original methods. A wrapper that another library wrapped again stays, and does nothing."""
    global _tracer
    _tracer = None
    socket.uninstrument()
    unpatch()


def is_instrumented() -> bool:
    """Return whether calls are counted."""
    return _tracer is not None and is_patched()


class _Call(OpenAICall):
    """One logical call while its request runs."""

    __slots__ = ("context_token", "http", "is_sending", "response", "stream", "token")

    def __init__(self, operation: str, client: Any, options: Any) -> None:
        super().__init__(
            operation, host_of(client, options), is_azure(client.__class__), body_of_request(options)
        )
        self.http: object = client._client
        """The HTTP client of the call; a request of another client (a token provider) is not an attempt."""
        self.response: Any = None
        """The last response, if it succeeded and its body has been read."""
        self.stream: _openai_stream.Reading | None = None
        """The reading of the last response, if it succeeded and is streamed."""
        self.is_sending = False
        self.token: Token[_Call | None] | None = None
        self.context_token: Token[context.Context] | None = None
        """Set while our own span is the current one."""

    def span_ended(self) -> None:
        """End the reading: the official span ends when the application drops the stream."""
        if self.stream is not None and self.stream.is_of_events:
            self.stream.leave()


_current: ContextVar[_Call | None] = ContextVar("analysis-telemetry-openai-call", default=None)


def _request(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    call = _begin(_send, instance, *args, **kwargs)
    if call is None:
        result = wrapped(*args, **kwargs)
        if pending.is_anything_pending():
            _check_poll(result)
        return result
    try:
        result = wrapped(*args, **kwargs)
    except BaseException as error:
        _fail(call, error)
        raise
    _end(call, result)
    return result


async def _request_async(
    wrapped: Callable[..., Awaitable[Any]], instance: Any, args: Any, kwargs: Any
) -> Any:
    call = _begin(_send_async, instance, *args, **kwargs)
    if call is None:
        result = await wrapped(*args, **kwargs)
        if pending.is_anything_pending():
            _check_poll(result)
        return result
    try:
        result = await wrapped(*args, **kwargs)
    except BaseException as error:
        _fail(call, error)
        raise
    _end(call, result)
    return result


def _send(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    call = _current.get()
    if call is None or call.http is not instance or call.is_sending:
        return wrapped(*args, **kwargs)
    call.is_sending = True  # redirects and authentication within it are not attempts
    started = time.monotonic()
    try:
        response = wrapped(*args, **kwargs)
    except BaseException as error:
        _add_failure(call, started, error)
        raise
    _add_answer(call, started, response, kwargs)
    return response


async def _send_async(wrapped: Callable[..., Awaitable[Any]], instance: Any, args: Any, kwargs: Any) -> Any:
    call = _current.get()
    if call is None or call.http is not instance or call.is_sending:
        return await wrapped(*args, **kwargs)
    call.is_sending = True  # redirects and authentication within it are not attempts
    started = time.monotonic()
    try:
        response = await wrapped(*args, **kwargs)
    except BaseException as error:
        _add_failure(call, started, error)
        raise
    _add_answer(call, started, response, kwargs)
    return response


@guarded("openai")
def _begin(
    send: Callable[..., Any], client: Any, cast_to: Any, options: Any, *_: Any, **__: Any
) -> _Call | None:
    """Begin a call; return None if there is nothing to record."""
    operation = None if _tracer is None else operation_of(options.method, options.url)
    if _tracer is None or operation is None:
        return None
    outer, call = _current.get(), _Call(operation, client, options)
    if awaits_call(call.parent):
        call.span = call.parent
        claim(call.span)
    else:
        call.span = start_span(_tracer, operation, call.provider, call.asked_model)
        call.is_span_ours = call.span.is_recording()
        if not call.is_span_ours and not is_recording():
            return None
    try:
        patch(definer(client._client.__class__, "send"), "send", send)
        call.begin()
        if call.is_span_ours:
            call.context_token = context.attach(trace.set_span_in_context(call.span))
        call.token = _current.set(call)
        return call
    except BaseException as error:  # raised by a signal handler: the call is not made
        _current.set(outer)
        context.attach(call.context)
        call.end(error)
        raise


@guarded("openai")
def _end(call: _Call, result: object) -> None:
    """Complete a call that returned ``result``, unless its answer is still to be read."""
    stream = call.stream if call.stream is not None and not call.stream.is_over else None
    decoded = result if is_decoded(result) else None
    try:
        _leave(call)
        call.describe_attempts()
        if stream is None:
            call.answer = answer_of(decoded, call.response)
            # Otherwise the official instrumentation sets the same values.
            if call.is_span_ours or decoded is None:
                call.describe_usage()
    finally:
        if stream is not None:
            stream.hand_over()
        elif call.answer.tokens is not None or not _is_continuing(call, decoded):
            call.end()


@guarded("openai")
def _fail(call: _Call, error: BaseException) -> None:
    """Complete a call that raised ``error``."""
    try:
        _leave(call)
        call.describe_attempts()
        call.answer = answer_of(None, call.response)
        call.describe_usage()
    finally:
        if call.stream is not None:
            call.stream.is_over = True
        call.end(error)


def _is_continuing(call: _Call, decoded: object) -> bool:
    """Return whether the service is still working after its answer, so that a poll ends the call."""
    if call.operation not in pending.OPERATIONS:
        return False
    body = body_of(call.response) if decoded is None and call.response is not None else None
    return pending.wait_for(call, decoded or body)


@guarded("openai")
def _check_poll(result: Any) -> None:
    """Check whether the answer to a free request is the result of an open call."""
    response = getattr(result, "http_response", None)
    if is_decoded(result):
        pending.resolve(result)
    elif response is not None and response.is_closed:
        pending.resolve(body_of(response))


def _leave(call: _Call) -> None:
    try:
        # During a garbage collection, setting a context variable may crash CPython 3.11.
        if call.token is not None and not is_collecting():
            _current.reset(call.token)
    except ValueError:
        pass  # a coroutine that is closed instead of awaited ends in another context: nothing to reset
    finally:
        if call.context_token is not None:
            context.detach(call.context_token)


@guarded("openai")
def _add_failure(call: _Call, started: float, error: BaseException) -> None:
    call.is_sending, call.response, call.stream = False, None, None
    call.attempts.append(Attempt(started, time.monotonic(), failure_status(error)))


@guarded("openai")
def _add_answer(call: _Call, started: float, response: Any, kwargs: Mapping[str, Any]) -> None:
    ended = time.monotonic()
    call.is_sending, call.response, call.stream = False, None, None
    code, headers = response.status_code, response.headers
    wait = retry_after(headers) if code >= 400 else None
    refusal = response if code == 429 else None
    call.attempts.append(Attempt(started, ended, str(code), wait, limits_in(headers), refusal))
    if code < 300 and kwargs.get("stream"):
        call.stream = _openai_stream.Reading(call, response)
    elif code < 300:
        call.response = response
