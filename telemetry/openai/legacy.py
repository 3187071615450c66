"""Calls of ``openai`` before 1.0, which no instrumentation covers: each is counted, with a span of ours.

``request`` and ``arequest`` of its ``APIRequestor`` run once for each logical call, and make one attempt:
those versions leave retries to the application.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import wrapt
from opentelemetry import trace
from opentelemetry.trace import Tracer, TracerProvider

from telemetry._internal.guard import guarded
from telemetry.conventions import OPENAI_SCOPE
from telemetry.usage.endpoints import operation_of
from telemetry.usage.reader import read_answer

from .attempts import Attempt, failure_status, retry_after
from .call import OpenAICall
from .kinds_of_429 import kind_of
from .spans import start_span


def instrument(tracer_provider: TracerProvider | None = None) -> None:
    """Count calls from now on. With ``openai`` 1.0 or newer, or none, do nothing."""
    requestor = _requestor()
    if requestor is None or is_instrumented():
        return
    tracer = trace.get_tracer(OPENAI_SCOPE, tracer_provider=tracer_provider)

    def request(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        sent = _begin(tracer, instance, *args, **kwargs)
        try:
            answer = wrapped(*args, **kwargs)
        except BaseException as error:
            _fail(sent, error)
            raise
        _succeed(sent, answer)
        return answer

    async def arequest(wrapped: Callable[..., Awaitable[Any]], instance: Any, args: Any, kwargs: Any) -> Any:
        sent = _begin(tracer, instance, *args, **kwargs)
        try:
            answer = await wrapped(*args, **kwargs)
        except BaseException as error:
            _fail(sent, error)
            raise
        _succeed(sent, answer)
        return answer

    requestor.request = wrapt.FunctionWrapper(requestor.request, request)
    requestor.arequest = wrapt.FunctionWrapper(requestor.arequest, arequest)


def is_instrumented() -> bool:
    """Say whether calls are counted."""
    requestor = _requestor()
    return requestor is not None and isinstance(vars(requestor)["request"], wrapt.FunctionWrapper)


def _requestor() -> Any:
    try:
        module = import_module("openai.api_requestor")
    except ImportError:
        return None
    return getattr(module, "APIRequestor", None)


class _Sent(NamedTuple):
    call: OpenAICall
    started: float
    """Seconds on the monotonic clock."""


@guarded("openai")
def _begin(
    tracer: Tracer, requestor: Any, method: str, url: str, params: Any = None, *_: Any, **__: Any
) -> _Sent | None:
    """Begin a call that may cost money; None of any other."""
    operation = operation_of(method, url)
    if operation is None:
        return None
    is_azure = "azure" in str(getattr(requestor, "api_type", "")).lower()
    host = urlsplit(str(getattr(requestor, "api_base", ""))).hostname or ""
    call = OpenAICall(operation, host, is_azure, params if isinstance(params, Mapping) else {})
    call.span = start_span(tracer, operation, call.provider, call.asked_model)
    call.is_span_ours = call.span.is_recording()
    call.begin()
    return _Sent(call, time.monotonic())


@guarded("openai")
def _succeed(sent: _Sent | None, result: Any) -> None:
    if sent is None:
        return
    call, response = sent.call, result[0]  # of a stream, it is an iterator that says nothing
    call.attempts.append(
        Attempt(sent.started, time.monotonic(), "200", limits=_headers(response, "_headers"))
    )
    call.describe_attempts()
    call.answer = read_answer(getattr(response, "data", None))
    call.describe_usage()
    call.end()


@guarded("openai")
def _fail(sent: _Sent | None, error: BaseException) -> None:
    if sent is None:
        return
    code, headers = getattr(error, "http_status", None), _headers(error, "headers")
    status = (
        _status(code, error)
        if code
        else "timeout"
        if type(error).__name__ == "Timeout"
        else failure_status(error)
    )
    attempt = Attempt(sent.started, time.monotonic(), status, retry_after(headers or {}), headers)
    sent.call.attempts.append(attempt)
    sent.call.describe_attempts()
    sent.call.end(error)


def _status(code: object, error: BaseException) -> str:
    return kind_of(getattr(error, "json_body", None)) if code == 429 else str(code)


def _headers(owner: object, name: str) -> Mapping[str, str] | None:
    """Return HTTP headers by lower-case name, None without any."""
    headers = getattr(owner, name, None)
    if not isinstance(headers, Mapping) or not headers:
        return None
    return {str(key).lower(): str(value) for key, value in headers.items()}
