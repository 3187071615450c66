"""What leaves the process as a span holds no personal data, and the spans of others are left as they are."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from exporters.sanitise import SanitisingExporter

SECRET = "Zanzibar"


class Exported:
    """A provider that exports each span twice: as it is, and sanitised."""

    def __init__(self, **options: Any) -> None:
        self.plain, self.clean = InMemorySpanExporter(), InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(SanitisingExporter(self.clean, **options)))
        self.provider.add_span_processor(SimpleSpanProcessor(self.plain))
        self.tracer = self.provider.get_tracer("the application", "1.0")

    def one(self) -> tuple[ReadableSpan, ReadableSpan]:
        (plain,), (clean,) = self.plain.get_finished_spans(), self.clean.get_finished_spans()
        return plain, clean


def fail(exported: Exported) -> None:
    with pytest.raises(ValueError), exported.tracer.start_as_current_span("work"):
        raise ValueError(f"{SECRET} could not be read")


def test_what_says_who_asked_for_what_is_dropped() -> None:
    """Addresses, user agents and query strings do not leave; the rest does, unchanged."""
    exported = Exported()
    kept: dict[str, Any] = {
        "http.request.method": "GET",
        "url.path": "/analyze/1",
        "analysis.stage": "ranking",
        "n": 3,
    }
    dropped = dict.fromkeys(
        (
            "url.query",
            "client.address",
            "net.peer.ip",
            "http.user_agent",
            "user_agent.original",
            "enduser.id",
        ),
        SECRET,
    )
    cut = {
        "http.target": f"/analyze/1?name={SECRET}",
        "http.url": f"http://h/x?{SECRET}",
        "url.full": "http://h/",
    }
    exported.tracer.start_span("GET", attributes={**kept, **dropped, **cut}).end()
    _, clean = exported.one()

    assert dict(clean.attributes or {}) == {
        **kept,
        "http.target": "/analyze/1",
        "http.url": "http://h/x",
        "url.full": "http://h/",
    }
    assert SECRET not in clean.to_json()


def test_messages_of_exceptions_stay_here() -> None:
    """Of an exception its type leaves; message, stack trace and status description stay."""
    exported = Exported()
    fail(exported)
    plain, clean = exported.one()

    assert SECRET in plain.to_json()
    assert SECRET not in clean.to_json()
    (event,) = clean.events
    assert (event.attributes or {})["exception.type"] == "ValueError"
    assert (clean.status.status_code, clean.status.description) == (StatusCode.ERROR, None)


def test_messages_may_be_asked_for() -> None:
    """Who wants messages and stack traces gets them."""
    exported = Exported(exception_messages=True)
    fail(exported)
    plain, clean = exported.one()

    assert (clean.events[0].attributes, clean.status.description) == (
        plain.events[0].attributes,
        plain.status.description,
    )


def test_the_span_itself_is_not_touched() -> None:
    """Other processors see the span as it was, before and after it was exported."""
    exported = Exported()
    span = exported.tracer.start_span("GET", attributes={"url.query": SECRET})
    span.set_status(Status(StatusCode.ERROR, SECRET))
    span.end()
    plain, _ = exported.one()

    assert (plain.attributes or {})["url.query"] == SECRET
    assert plain.status.description == SECRET


def test_everything_else_is_kept() -> None:
    """Name, kind, ids, times, links, resource and scope are those of the span."""
    exported = Exported()
    linked = exported.tracer.start_span("linked").get_span_context()
    with exported.tracer.start_as_current_span(
        "work", kind=SpanKind.CLIENT, links=[Link(linked, {"a": 1})]
    ) as span:
        span.add_event("note", {"b": 2})
    plain, clean = exported.one()

    assert plain.to_json() == clean.to_json()


def test_shutdown_and_flush_reach_the_exporter() -> None:
    """The wrapped exporter is flushed and shut down with its wrapper."""
    exported = Exported()
    assert exported.provider.force_flush()
    exported.provider.shutdown()
    exported.tracer.start_span("after").end()

    assert exported.clean.get_finished_spans() == ()
