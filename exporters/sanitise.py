"""What leaves the process as a span holds no personal data: no query string, no address, no message.

Spans are shared between processors, so they are rebuilt, never changed. The types of exceptions stay;
messages and stack traces need TELEMETRY_EXCEPTION_MESSAGES.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status
from opentelemetry.util.types import Attributes

DROPPED: Final = frozenset(
    {
        "url.query",
        "client.address",
        "client.port",
        "net.peer.ip",
        "net.peer.port",
        "net.sock.peer.addr",
        "http.client_ip",
        "http.user_agent",
        "user_agent.original",
        "enduser.id",
    }
)
"""Attributes that say who asked for what."""
CUT_AT_QUERY: Final = frozenset({"http.target", "http.url", "url.full"})
"""Attributes that are kept up to the question mark."""
MESSAGES: Final = frozenset({"exception.message", "exception.stacktrace"})


class SanitisingExporter(SpanExporter):
    """Hands cleaned copies of spans to another exporter."""

    def __init__(self, exporter: SpanExporter, *, exception_messages: bool = False) -> None:
        """Wrap ``exporter``; ``exception_messages`` lets messages and stack traces through."""
        self._exporter = exporter
        self._exception_messages = exception_messages

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export copies of ``spans``."""
        return self._exporter.export([sanitised(span, self._exception_messages) for span in spans])

    def shutdown(self) -> None:
        """Shut the wrapped exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the wrapped exporter."""
        return self._exporter.force_flush(timeout_millis)


def sanitised(span: ReadableSpan, exception_messages: bool = False) -> ReadableSpan:
    """Return a copy of ``span`` that may leave the process."""
    status = span.status if exception_messages else Status(span.status.status_code)
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=clean(span.attributes),
        events=[_clean_event(event, exception_messages) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def clean(attributes: Mapping[str, Any] | None) -> Attributes:
    """Return ``attributes`` without what is dropped, and cut where a query string begins."""
    kept = {}
    for name, value in (attributes or {}).items():
        if name in DROPPED:
            continue
        kept[name] = str(value).partition("?")[0] if name in CUT_AT_QUERY else value
    return kept


def _clean_event(event: Event, exception_messages: bool) -> Event:
    attributes = clean(event.attributes)
    if not exception_messages and attributes is not None:
        attributes = {name: value for name, value in attributes.items() if name not in MESSAGES}
    return Event(event.name, attributes, event.timestamp)
