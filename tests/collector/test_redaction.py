"""No personal data pass through the Collector, in spans and logs, whatever senders do."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from telemetry.conventions import Attribute
from tests.collector.messages import RESOURCE, logs, pairs, span, traces, value_of
from tests.collector.receiver import Receiver
from tests.collector.running import BASE, FOLDER, PATIENCE, RunningCollector, ask
from tests.end_to_end.collector import attributes
from tests.waiting import until

RESUME = "Ada Lovelace worked for ten years as an analyst of engines in London"
PROMPT = "Rank this candidate by how well she fits"
EMAIL = "ada.lovelace@example.org"
FILE = "Lovelace_Ada_CV.pdf"
USER = "user-ada-4711"
PLANTED = (RESUME, PROMPT, EMAIL, FILE, USER, "Lovelace", "Rank this", "4711")
PERSONAL = {
    "user.email": EMAIL,
    "user.id": USER,
    "enduser.id": USER,
    "file.name": FILE,
    "gen_ai.input.messages": f'[{{"role": "user", "content": "{PROMPT}"}}]',
    "gen_ai.output.messages": [{"role": "assistant", "parts": [{"content": RESUME}]}],
    "gen_ai.system_instructions": PROMPT,
    "gen_ai.prompt.0.content": PROMPT,
    "llm.prompts": [PROMPT],
    "exception.message": f"cannot read {FILE}",
    "exception.stacktrace": f"File {FILE}, line 1",
    "db.statement": f"SELECT * FROM users WHERE email = '{EMAIL}'",
    "db.query.text": f"SELECT '{EMAIL}'",
    "url.path": f"/download/{FILE}",
    "url.full": f"https://screener.example/download/{FILE}?user={USER}",
    "http.url": f"https://screener.example/download/{FILE}",
    "http.target": f"/download/{FILE}",
    "http.request.header.cookie": USER,
    "some.new.attribute": RESUME,
    # These may pass, but not with an e-mail address in them.
    "http.route": f"/users/{EMAIL}",
    "error.type": f"NoSuchUser({EMAIL})",
    Attribute.ATTEMPT_STATUSES: [EMAIL],
}
KEPT = {Attribute.STAGE: "ranking", Attribute.OPERATION: "chat", Attribute.INPUT_TOKENS: 812}


@pytest.fixture(scope="module")
def received(tmp_path_factory: pytest.TempPathFactory) -> Receiver:
    """What a backend has got of spans and records with personal data wherever there is room for text."""
    with Receiver() as vendor:
        settings = {"VENDOR_ENDPOINT": vendor.url, "VENDOR_API_KEY": "key", "COLLECTOR_OTHERS_PERCENT": "100"}
        layers = (*BASE, "examples/vendor-otlp.yaml")
        with RunningCollector(tmp_path_factory.mktemp("collector"), *layers, **settings) as collector:
            for name in ("POST /analyses", RESUME, FILE, EMAIL, f"parse {FILE}"):
                collector.send("traces", traces(_span(name), resource=RESOURCE | PERSONAL))
            collector.send("traces", traces(_span(RESUME), scope=f"{FILE} {EMAIL}"))
            for method in ("http.request.method", "http.method"):
                collector.send("traces", traces(_request(method)))
            for body in (RESUME, {"messages": [PROMPT], "stage": EMAIL}, [FILE], EMAIL):
                collector.send("logs", logs(_record(body), resource=RESOURCE | PERSONAL))
            until(
                lambda: len(vendor.spans()) == 8 and len(vendor.records()) == 4,
                PATIENCE,
                what="spans and records",
            )
            until(vendor.metrics, PATIENCE, what="metrics of spans")
    return vendor


def _span(name: str) -> Span:
    one = span(name, is_error=True)
    one.attributes.extend(pairs(KEPT | PERSONAL))
    one.status.message = f"{FILE}: {PROMPT}"
    one.trace_state = "vendor=user-ada-4711"
    for event in ("exception", "gen_ai.user.message", RESUME, FILE):
        one.events.append(
            Span.Event(name=event, attributes=pairs({"exception.type": "ValueError"} | PERSONAL))
        )
    one.links.append(
        Span.Link(trace_id=b"1" * 16, span_id=b"2" * 8, trace_state=USER, attributes=pairs(PERSONAL))
    )
    return one


def _request(method: str) -> Span:
    """Return the span of a request without a route, which instrumentations name by its path."""
    one = _span(f"GET /people/{USER}")
    one.kind = Span.SPAN_KIND_SERVER
    kept = [pair for pair in one.attributes if pair.key != "http.route"]
    del one.attributes[:]
    one.attributes.extend([*kept, *pairs({method: "GET"})])
    return one


def _record(body: object) -> LogRecord:
    return LogRecord(
        body=value_of(body), severity_text=RESUME, event_name=FILE, attributes=pairs(KEPT | PERSONAL)
    )


def test_nothing_personal_is_left(received: Receiver) -> None:
    """None of the planted words is anywhere in what a backend gets, metrics of spans included."""
    everything = b"".join(body for _, body in received.bodies)

    assert [word for word in PLANTED if word.encode() in everything] == []
    assert b"example.org" not in everything


def test_what_code_gives_is_kept(received: Receiver) -> None:
    """Names, our attributes and the types of exceptions arrive unchanged; other names become the scope's."""
    spans = received.spans()

    names = ["GET", "GET", "POST /analyses", *["analysis.telemetry"] * 4, "other"]
    assert sorted(one.name for one in spans) == names
    for one in spans:
        found = attributes(one.attributes)
        assert KEPT.items() <= found.items()
        assert found.get("http.route") == (None if one.name == "GET" else "/users/****")
        assert [event.name for event in one.events] == ["exception", "gen_ai.user.message", "event", "event"]
        assert attributes(one.events[0].attributes)["exception.type"] == "ValueError"
        assert not one.links
    for record in received.records():
        assert KEPT.items() <= attributes(record.attributes).items()
        assert record.body.WhichOneof("value") is None


def test_a_vendor_gets_its_key(received: Receiver) -> None:
    """The key is in every request, taken from the environment."""
    assert received.keys == {"key"}


def test_unreadable_data_are_refused(tmp_path: Path) -> None:
    """The configuration refuses what it cannot clean, rather than let it pass."""
    configuration = (FOLDER / "collector.yaml").read_text()

    assert configuration.count("error_mode: propagate") == configuration.count("error_mode")


def test_the_list_must_not_be_missing() -> None:
    """Without the file of allowed attributes the Collector does not start."""
    done = ask("validate", "collector.yaml")

    assert done.returncode != 0
    assert 'references processor "redaction" which is not configured' in done.stderr


def test_the_list_is_generated() -> None:
    """`redaction.yaml` is what `make docs` writes: a new attribute of telemetry passes at once."""
    script = runpy.run_path(str(FOLDER / "redaction.py"))

    assert (FOLDER / "redaction.yaml").read_text() == script["page"](), "run make docs"
    assert set(script["allowed_keys"]()) >= {
        value for name, value in vars(Attribute).items() if name.isupper()
    }
