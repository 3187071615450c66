"""Our own span for an OpenAI call without an official one, in the same form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from telemetry.conventions import Attribute

_BILLED_TOOLS: Final = ("web_search", "file_search", "code_interpreter", "image_generation", "shell")
"""Prefixes of the types of hosted tools that are billed in addition to tokens."""


def billed_tools(body: object) -> tuple[str, ...]:
    """Return the types of tools in a request whose use is billed in addition to tokens."""
    if not isinstance(body, Mapping):
        return ()
    tools, searches = body.get("tools"), body.get("web_search_options") is not None
    if not tools and not searches:
        return ()
    named = [tool for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, (list, tuple)) else []
    billed = [
        kind
        for tool in named
        if (kind := str(tool.get("type"))).startswith(_BILLED_TOOLS)
        and tool.get("environment") != {"type": "local"}  # a shell on the application's own machine
    ]
    if searches:
        billed.append("web_search")
    return tuple(billed)


def start_span(tracer: Tracer, operation: str, provider: str, model: str | None) -> Span:
    """Start the span of a call; the model is the only part of the request in it."""
    attributes = {Attribute.OPERATION: operation, Attribute.PROVIDER: provider}
    if model is not None:
        attributes[Attribute.REQUEST_MODEL] = model
    name = operation if model is None else f"{operation} {model}"
    return tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)


def end_span(span: Span, error_type: str | None) -> None:
    """End the span, with an error status if there is an error type."""
    if error_type is not None:
        # Without a description: the text of an exception may contain parts of the prompt or the answer.
        span.set_status(StatusCode.ERROR)
        span.set_attribute(Attribute.ERROR_TYPE, error_type)
    span.end()


def type_name(error: BaseException) -> str:
    """Return the qualified name of the exception's class, as the official instrumentation writes it."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
