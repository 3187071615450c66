"""Exporters that remove personal data from spans and log records, by the rules in :mod:`.rules`.

Spans and records are shared between processors, so they are copied, never changed. The types of exceptions
stay. Messages and stack traces need TELEMETRY_EXCEPTION_MESSAGES, prompts and answers
TELEMETRY_MESSAGE_CONTENT, and the text of log records TELEMETRY_LOG_MESSAGES. Links, the resource, and the
names of spans and events are unchanged, except that the span of a request without a route is named by its
method.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status

from .rules import ROUTE, Allowed, clean, clean_log

CONTENT_EVENTS: Final = "gen_ai."
"""Prefix of the names of events that carry messages."""


class SanitisingExporter(SpanExporter):
    """Passes sanitised copies of spans to another exporter."""

    def __init__(self, exporter: SpanExporter, **allowed: bool) -> None:
        """Wrap ``exporter``; ``allowed`` are fields of :class:`exporters.privacy.rules.Allowed`."""
        self._exporter = exporter
        self._allowed = Allowed(**allowed)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export copies of ``spans``."""
        return self._exporter.export([sanitised(span, self._allowed) for span in spans])

    def shutdown(self) -> None:
        """Shut the wrapped exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the wrapped exporter."""
        return self._exporter.force_flush(timeout_millis)

    @staticmethod
    def for_logs(exporter: LogRecordExporter, **allowed: bool) -> LogRecordExporter:
        """Wrap an exporter of log records in the same way."""
        return SanitisingLogExporter(exporter, **allowed)


class SanitisingLogExporter(LogRecordExporter):
    """Passes sanitised copies of log records to another exporter."""

    def __init__(self, exporter: LogRecordExporter, **allowed: bool) -> None:
        """Wrap ``exporter``; ``allowed`` are fields of :class:`exporters.privacy.rules.Allowed`."""
        self._exporter = exporter
        self._allowed = Allowed(**allowed)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Export copies of the records."""
        return self._exporter.export([sanitised_record(record, self._allowed) for record in batch])

    def shutdown(self) -> None:
        """Shut the wrapped exporter down."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the wrapped exporter."""
        return self._exporter.force_flush(timeout_millis)


def sanitised(span: ReadableSpan, allowed: Allowed) -> ReadableSpan:
    """Return a copy of ``span`` that may leave the process."""
    status = span.status if allowed.exception_messages else Status(span.status.status_code)
    return ReadableSpan(
        name=_name(span),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=clean(span.attributes, allowed),
        events=[
            Event(event.name, clean(event.attributes, allowed), event.timestamp)
            for event in span.events
            if allowed.message_content or not event.name.startswith(CONTENT_EVENTS)
        ],
        links=span.links,
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _name(span: ReadableSpan) -> str:
    """Return the name of ``span``, reduced if it may be a path, which can contain anything."""
    attributes = span.attributes or {}
    method = attributes.get("http.request.method") or attributes.get("http.method")
    if span.kind is not SpanKind.SERVER or method is None or ROUTE in attributes:
        return span.name
    return str(method)


def sanitised_record(record: ReadableLogRecord, allowed: Allowed) -> ReadableLogRecord:
    """Return a copy of ``record`` that may leave the process."""
    cleaned = copy.copy(record.log_record)
    about_messages = (cleaned.event_name or "").startswith(CONTENT_EVENTS)
    if not (allowed.message_content if about_messages else allowed.log_messages):
        cleaned.body = None
    cleaned.exception = None
    cleaned.attributes = clean_log(cleaned.attributes, allowed)
    return replace(record, log_record=cleaned)
