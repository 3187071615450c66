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
    "/responses/compact": "chat",
    "/embeddings": "embeddings",
    "/completions": "text_completion",
    "/images/generations": "image_generation",
    "/images/edits": "image_generation",
    "/images/variations": "image_generation",
    "/audio/speech": "speech",
    "/audio/transcriptions": "transcription",
    "/audio/translations": "transcription",
    "/videos": "video_generation",
    "/videos/edits": "video_generation",
    "/videos/extensions": "video_generation",
    "/remix": "video_generation",
    "/batches": "batch",
    "/fine_tuning/jobs": "fine_tuning",
    "/runs": "run",
}
"""Endings of paths that spend money, the longer one first, and their ``gen_ai.operation.name``."""
TOLD_IN_TOKENS: Final = frozenset({"chat", "embeddings", "text_completion"})
"""Operations that the tokens in their answers pay for: what others cost is counted as unknown."""
_BILLED_TOOLS: Final = ("web_search", "file_search", "code_interpreter", "image_generation", "shell")
"""Beginnings of the types of tools that the service runs itself, and charges for beside tokens."""


def operation_of(options: Any) -> str | None:
    """Return the ``gen_ai.operation.name`` of a request that spends money, None of any other."""
    if options.method.lower() != "post":
        return None
    path = "/" + urlsplit(options.url).path.strip("/")
    return next((name for ending, name in _OPERATIONS.items() if path.endswith(ending)), None)


def has_tool_fees(body: object) -> bool:
    """Say whether a request lets the service use tools that it charges for: no answer tells how much."""
    if not isinstance(body, Mapping):
        return False
    tools = body.get("tools")
    named = [tool for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []
    billed = (str(tool.get("type")).startswith(_BILLED_TOOLS) for tool in named)
    return body.get("web_search_options") is not None or any(billed)


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
