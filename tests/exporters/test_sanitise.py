"""Exported spans hold no personal data, and spans of other libraries are otherwise unchanged."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from exporters.privacy.exporters import SanitisingExporter

SECRET = "Zanzibar"
REQUEST_ATTRIBUTES = """
    url.query url.path http.target client.address network.peer.address net.peer.ip net.peer.name
    http.client_ip http.user_agent user_agent.original enduser.id user.email session.id file.name
    http.request.header.cookie http.response.header.content_disposition db.query.parameter.name
""".split()
CONTENT_ATTRIBUTES = """
    gen_ai.input.messages gen_ai.output.messages gen_ai.system_instructions gen_ai.prompt.0.content
    gen_ai.completion.0.content gen_ai.tool.definitions gen_ai.tool.call.arguments input.value
    llm.input_messages.0.message.content traceloop.entity.output langfuse.observation.input request_data
""".split()
STATEMENTS = [
    ("SELECT a FROM users WHERE id = %(id_1)s", "SELECT a FROM users WHERE id = %(id_1)s"),
    (
        "SELECT a FROM t1 WHERE id = $1 AND b = ? AND c = :c_1",
        "SELECT a FROM t1 WHERE id = $1 AND b = ? AND c = :c_1",
    ),
    ("SELECT a FROM t WHERE name = 'Ada' AND age > 42", "SELECT a FROM t WHERE name = ? AND age > ?"),
    ("SELECT a FROM t WHERE name = 'O''Hara'", "SELECT a FROM t WHERE name = ?"),
    ('SELECT a FROM t WHERE name = "Ada" -- for Ada', "SELECT a FROM t WHERE name = ? ?"),
    ("SELECT a /* for Ada */ FROM t WHERE b = $x$Ada's$x$", "SELECT a ? FROM t WHERE b = ?"),
    ("INSERT INTO t VALUES (-1.5e3, 'it''s', '')", "INSERT INTO t VALUES (-?, ?, ?)"),
    ("SELECT 'C:\\' FROM Ada, 'x'", "SELECT"),
    ("SELECT a FROM t WHERE name = 'Ada", "SELECT"),
    ("UPDATE t /* a /* b */ Ada */ SET a = 1", "UPDATE"),
    ("'Ada", ""),
    ("  ", "  "),
]
"""Statements, and how they are exported."""


class Exported:
    """A provider that exports every span twice: as it is, and sanitised."""

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


def test_attributes_about_the_client_and_its_request_are_dropped() -> None:
    """Addresses, user agents, cookies, paths and query strings are not exported; others are, unchanged."""
    kept: dict[str, Any] = {
        "http.request.method": "GET",
        "http.response.status_code": 404,
        "analysis.stage": "ranking",
        "n": 3,
    }
    exported = Exported()
    exported.tracer.start_span("GET", attributes={**kept, **dict.fromkeys(REQUEST_ATTRIBUTES, SECRET)}).end()
    plain, clean = exported.one()

    assert set(REQUEST_ATTRIBUTES) <= set(plain.attributes or {})
    assert dict(clean.attributes or {}) == kept


@pytest.mark.parametrize("name", ["http.url", "url.full"])
@pytest.mark.parametrize(
    ("url", "exported_url"),
    [
        (f"https://ada:{SECRET}@host:8080/{SECRET}?name={SECRET}#{SECRET}", "https://host:8080"),
        ("https://host/", "https://host"),
        (f"/{SECRET}", None),
        (f"https://[{SECRET}", None),
    ],
)
def test_only_scheme_and_host_of_a_url_are_exported(name: str, url: str, exported_url: str | None) -> None:
    """Password, path, query and fragment are not."""
    exported = Exported()
    exported.tracer.start_span("GET", attributes={name: url}).end()
    _, clean = exported.one()

    assert (clean.attributes or {}).get(name) == exported_url


def test_a_path_is_replaced_by_its_route() -> None:
    """A path may contain the name of a file."""
    route = "/resumes/<path:name>"
    exported = Exported()
    paths = {
        "http.target": f"/resumes/{SECRET}.pdf?all",
        "url.path": f"/resumes/{SECRET}.pdf",
        "url.full": f"http://h/resumes/{SECRET}.pdf",
    }
    exported.tracer.start_span("GET", attributes={**paths, "http.route": route}).end()
    _, clean = exported.one()

    assert dict(clean.attributes or {}) == {
        "http.target": route,
        "url.path": route,
        "url.full": f"http://h{route}",
        "http.route": route,
    }


@pytest.mark.parametrize("method", ["http.method", "http.request.method"])
@pytest.mark.parametrize(("route", "name"), [(None, "GET"), ("/cv/<name>", "GET /cv/<name>")])
def test_requests_are_named_by_their_route(method: str, route: str | None, name: str) -> None:
    """A request without a route is named by its path, of which nothing is exported."""
    exported = Exported()
    attributes = {method: "GET", **({"http.route": route} if route else {})}
    path = route or f"/cv/{SECRET}.pdf"
    exported.tracer.start_span(f"GET {path}", kind=SpanKind.SERVER, attributes=attributes).end()
    _, clean = exported.one()

    assert clean.name == name


@pytest.mark.parametrize("name", ["db.statement", "db.query.text"])
@pytest.mark.parametrize(("text", "exported_text"), STATEMENTS)
def test_statements_are_exported_without_their_values(name: str, text: str, exported_text: str) -> None:
    """Strings, numbers and comments are replaced; placeholders and names of tables and columns are kept."""
    exported = Exported()
    exported.tracer.start_span("SELECT", attributes={name: text}).end()
    _, clean = exported.one()

    assert (clean.attributes or {})[name] == exported_text


def converse(exported: Exported) -> None:
    with exported.tracer.start_as_current_span(
        "chat", attributes=dict.fromkeys(CONTENT_ATTRIBUTES, SECRET)
    ) as span:
        span.set_attributes({"gen_ai.usage.input_tokens": 3, "gen_ai.output.type": "json"})
        span.add_event("gen_ai.user.message", {"content": SECRET})
        span.add_event("gen_ai.content.prompt", {"gen_ai.prompt": SECRET})
        span.add_event("retry", {"message": SECRET, "n": 1})


def test_prompts_and_answers_are_not_exported() -> None:
    """This holds under whatever attribute names; token counts are exported."""
    exported = Exported()
    converse(exported)
    _, clean = exported.one()

    assert SECRET not in clean.to_json()
    assert dict(clean.attributes or {}) == {"gen_ai.usage.input_tokens": 3, "gen_ai.output.type": "json"}
    assert [(event.name, dict(event.attributes or {})) for event in clean.events] == [("retry", {"n": 1})]


def test_prompts_and_answers_can_be_allowed() -> None:
    """Then the span is exported unchanged."""
    exported = Exported(message_content=True)
    converse(exported)
    plain, clean = exported.one()

    assert plain.to_json() == clean.to_json()


def test_messages_of_exceptions_are_not_exported() -> None:
    """The type of the exception is; message, stack trace and status description are not."""
    exported = Exported()
    fail(exported)
    plain, clean = exported.one()

    assert SECRET in plain.to_json()
    assert SECRET not in clean.to_json()
    (event,) = clean.events
    assert (event.attributes or {})["exception.type"] == "ValueError"
    assert (clean.status.status_code, clean.status.description) == (StatusCode.ERROR, None)


def test_messages_of_exceptions_can_be_allowed() -> None:
    """Then the stack trace and the status description are exported, too."""
    exported = Exported(exception_messages=True)
    fail(exported)
    plain, clean = exported.one()

    assert (clean.events[0].attributes, clean.status.description) == (
        plain.events[0].attributes,
        plain.status.description,
    )


def test_the_span_itself_is_not_changed() -> None:
    """Other processors see the original span, before and after it was exported."""
    exported = Exported()
    span = exported.tracer.start_span("GET", attributes={"url.query": SECRET})
    span.set_status(Status(StatusCode.ERROR, SECRET))
    span.end()
    plain, _ = exported.one()

    assert (plain.attributes or {})["url.query"] == SECRET
    assert plain.status.description == SECRET


def test_everything_else_of_a_span_is_exported() -> None:
    """Name, kind, ids, times, links, resource and scope are unchanged."""
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
