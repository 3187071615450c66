"""The span of ours for an OpenAI call that nobody else covers, written as the official ones are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from .conventions import Attribute

_OPERATIONS: Final = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/embeddings": "embeddings",
    "/completions": "text_completion",
}
"""Paths that spend money, the longer ending first, and their ``gen_ai.operation.name``."""


def operation_of(options: Any) -> str | None:
    """Return the ``gen_ai.operation.name`` of a request that spends money, None of any other."""
    if options.method.lower() != "post":
        return None
    path = "/" + urlsplit(options.url).path.strip("/")
    return next((name for ending, name in _OPERATIONS.items() if path.endswith(ending)), None)


def start_span(tracer: Tracer, client: Any, options: Any, operation: str) -> Span:
    """Start the span of a request: its name and attributes hold the model, and nothing else of the body."""
    attributes = {
        Attribute.OPERATION: operation,
        Attribute.PROVIDER: "azure.ai.openai" if _is_azure(client) else "openai",
    }
    body = options.json_data
    model = body.get("model") if isinstance(body, Mapping) else None
    if isinstance(model, str):
        attributes[Attribute.REQUEST_MODEL] = model
    name = f"{operation} {model}" if isinstance(model, str) else operation
    return tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)


def end_span(span: Span, error: BaseException | None) -> None:
    """End the span, as failed if there is an error."""
    if error is not None:
        # Without a description: the text of an exception may hold what was sent or answered.
        span.set_status(StatusCode.ERROR)
        span.set_attribute(Attribute.ERROR_TYPE, _type_name(error))
    span.end()


def _is_azure(client: Any) -> bool:
    return any(kind.__name__ == "BaseAzureClient" for kind in type(client).__mro__)


def _type_name(error: BaseException) -> str:
    """Return the qualified name of the exception's class, as the official instrumentation writes it."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
