"""The spans of runs and their blocks."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from telemetry.conventions import SCOPE, Attribute


def tracer() -> trace.Tracer:
    """Return the tracer of the API's spans."""
    return trace.get_tracer(SCOPE)


def mark_failed(span: trace.Span, error_type: str | None) -> None:
    """Mark ``span`` as failed, with the type of the error if that is known."""
    span.set_status(Status(StatusCode.ERROR))
    if error_type:
        span.set_attribute(Attribute.ERROR_TYPE, error_type)
