"""Calls of ``openai`` before 1.0, which no instrumentation covers: a span of ours for each.

``request`` and ``arequest`` of its ``APIRequestor`` run once for each logical call, and make one attempt:
those versions leave retries to the application.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NamedTuple

import wrapt
from opentelemetry import trace
from opentelemetry.trace import Span, Tracer, TracerProvider

from ._attempts import Attempt, attempt_attributes, failure_status, retry_after, usage_attributes
from ._guard import guarded
from ._kinds_of_429 import kind_of
from ._openai_span import TOLD_IN_TOKENS, end_span, operation_of, start_span
from .conventions import OPENAI_SCOPE, Attribute


def instrument(tracer_provider: TracerProvider | None = None) -> None:
    """Count calls from now on. With ``openai`` 1.0 or newer, or none, do nothing."""
    requestor = _requestor()
    if requestor is None or is_instrumented():
        return
    tracer = trace.get_tracer(OPENAI_SCOPE, tracer_provider=tracer_provider)

    def request(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        call = _begin(tracer, instance, *args, **kwargs)
        try:
            answer = wrapped(*args, **kwargs)
        except BaseException as error:
            _fail(call, error)
            raise
        _succeed(call, answer)
        return answer

    async def arequest(wrapped: Callable[..., Awaitable[Any]], instance: Any, args: Any, kwargs: Any) -> Any:
        call = _begin(tracer, instance, *args, **kwargs)
        try:
            answer = await wrapped(*args, **kwargs)
        except BaseException as error:
            _fail(call, error)
            raise
        _succeed(call, answer)
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


class _Call(NamedTuple):
    span: Span
    operation: str
    started: float


@guarded("openai")
def _begin(
    tracer: Tracer, requestor: Any, method: str, url: str, params: Any = None, *_: Any, **__: Any
) -> _Call | None:
    """Open the span of a call that spends money; None of any other."""
    options = SimpleNamespace(method=method, url=url, json_data=params)
    operation = operation_of(options)
    if operation is None:
        return None
    span = start_span(tracer, requestor, options, operation)
    if "azure" in str(getattr(requestor, "api_type", "")).lower():
        span.set_attribute(Attribute.PROVIDER, "azure.ai.openai")
    return _Call(span, operation, time.monotonic())


@guarded("openai")
def _succeed(call: _Call | None, answer: Any) -> None:
    if call is None:
        return
    response = answer[0]  # of a stream, it is an iterator that tells nothing
    attempt = Attempt(call.started, time.monotonic(), "200", limits=_headers(response, "_headers"))
    call.span.set_attributes(attempt_attributes([attempt]))
    if call.operation in TOLD_IN_TOKENS:
        call.span.set_attributes(usage_attributes(getattr(response, "data", None)))
    end_span(call.span, None)


@guarded("openai")
def _fail(call: _Call | None, error: BaseException) -> None:
    if call is None:
        return
    code, headers = getattr(error, "http_status", None), _headers(error, "headers")
    status = (
        _status(code, error)
        if code
        else "timeout"
        if type(error).__name__ == "Timeout"
        else failure_status(error)
    )
    attempt = Attempt(call.started, time.monotonic(), status, retry_after(headers or {}), headers)
    call.span.set_attributes(attempt_attributes([attempt]))
    end_span(call.span, error)


def _status(code: object, error: BaseException) -> str:
    return kind_of(getattr(error, "json_body", None)) if code == 429 else str(code)


def _headers(owner: object, name: str) -> Mapping[str, str] | None:
    """Return HTTP headers by lower-case name, None without any."""
    headers = getattr(owner, name, None)
    if not isinstance(headers, Mapping) or not headers:
        return None
    return {str(key).lower(): str(value) for key, value in headers.items()}
