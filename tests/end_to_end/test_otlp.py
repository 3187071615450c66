"""Exports over OTLP: the same totals, one trace a run, and no personal data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from collector.redaction import allowed_keys
from examples.screener.client import ScreenerError
from examples.screener.standin.client import StandIn
from tests.end_to_end.collector import Collector, attributes
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.database import Row
from tests.end_to_end.documents import CANARIES, damaged, leaks, resumes
from tests.end_to_end.ledger import Line, dollars, truth
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import submit
from tests.spool import everything

QUERY = "Screener-Canary-Query"
OPENAI_SCOPE = "opentelemetry.instrumentation.genai.openai"
FAULTS: list[dict[str, Any]] = [
    {"match": {"task": "rank", "contains": "ada.3@"}, "status": 500, "retry_after_ms": 5},
    {"match": {"task": "rank", "contains": "ada.4@"}, "bad_json": True},
    {"status": 429, "rate": 0.1, "retry_after_ms": 5},
]
OUR_TABLES = (
    "telemetry_runs telemetry_fragments telemetry_stage_usage telemetry_counters telemetry_documents "
    "document_warnings system_health_log"
).split()
OUR_COLUMNS = {
    "analyses": "status, error_details, cost_breakdown",
    "candidate_files": "resume_file_type, error_message",
}


@dataclass(frozen=True)
class Sent:
    """The data after a session with failures of all kinds."""

    collector: Collector
    runs: list[Row]
    ledger: list[Line]
    ours: str
    """All text in telemetry's tables and columns."""
    hosts: str
    """All text in the host's tables."""
    metrics: str
    """The pages of the metrics listeners."""
    spool: str
    """The contents of the spool during the session."""


@pytest.fixture(scope="module")
def sent(
    new_database: NewDatabase, shared_standin: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sent]:
    """Documents with names, addresses and numbers, analysed in requests and in the worker."""
    shared_standin.clear()
    shared_standin.faults(FAULTS)
    with Collector() as collector:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "SCREENER_APP_RETRIES": "1",
            "SCREENER_REQUEST_LIMIT": "6",
        }
        folder = tmp_path_factory.mktemp("otlp")
        with Stack(folder, new_database("sqlite"), shared_standin, **settings) as stack:
            stack.web()
            stack.worker()
            spool = _use(stack)
            stack.settle()
            metrics = "".join(stack.metrics().texts)
            stack.stop()
            yield Sent(
                collector,
                stack.sql.runs(),
                shared_standin.ledger()["attempts"],
                _text(stack, dict.fromkeys(OUR_TABLES, "*") | OUR_COLUMNS),
                _text(stack, dict.fromkeys(("draft_resumes", "drafts", "candidate_files", "users"), "*")),
                metrics,
                spool,
            )


def _use(stack: Stack) -> str:
    """Submit documents, cause errors, and return the contents of the spool at the end."""
    client = stack.client()
    small = submit(client, [*(document.file for document in resumes(4)), damaged()])
    with pytest.raises(ScreenerError):
        client.result(4711)
    requests.get(f"{stack.url}/sign-in?next={QUERY}", headers={"User-Agent": f"{QUERY}/1.0"}, timeout=300)
    locked = next(
        candidate
        for candidate in client.result(small.analysis)["candidates"]
        if not candidate["insight"] and not candidate["error"]
    )
    client.unlock_insight(small.analysis, locked["id"])
    submit(client, [document.file for document in resumes(8, start=21)])
    return "".join(everything(stack.spool).values())


def _text(stack: Stack, tables: dict[str, str]) -> str:
    return "\n".join(
        str(list(row.values()))
        for table, columns in tables.items()
        for row in stack.sql.rows(f"SELECT {columns} FROM {table}")
    )


def test_metrics_equal_ledger(sent: Sent) -> None:
    """The sums over all processes equal the calls, attempts, tokens and cost of the ledger."""
    total, expected = sent.collector.total, truth(sent.ledger)

    assert len(sent.collector.processes()) == 3
    assert total("analysis.openai.operations") == expected.calls
    assert total("analysis.openai.operations", outcome="error") == expected.errors > 0
    assert total("analysis.openai.attempts") == expected.attempts
    assert total("analysis.openai.attempts", status="429") == expected.rate_limit_hits > 0
    assert total("analysis.openai.tokens", kind="input") == expected.input_tokens
    assert total("analysis.openai.tokens", kind="output") == expected.output_tokens
    assert total("analysis.openai.cost.usd") == dollars(expected.cost_pico)


def test_metrics_equal_sql(sent: Sent) -> None:
    """Runs and their cost are the same in the metrics and in SQL."""
    assert sent.collector.total("analysis.runs") == len(sent.runs)
    for (kind, status), count in Counter((run["kind"], run["status"]) for run in sent.runs).items():
        assert sent.collector.total("analysis.runs", kind=kind, status=status) == count
        assert sent.collector.total("analysis.run.duration", kind=kind, status=status) == count
    cost = sum(run["cost_pico"] for run in sent.runs)
    assert sent.collector.total("analysis.openai.cost.usd") == dollars(cost)


def test_each_run_is_one_trace(sent: Sent) -> None:
    """Its row names the trace, which contains all its calls."""
    spans = sent.collector.spans()
    roots = {
        attributes(span.attributes)["analysis.run.id"]: span.trace_id.hex()
        for _, span in spans
        if "analysis.run.id" in attributes(span.attributes)
    }
    calls = Counter(span.trace_id.hex() for scope, span in spans if scope == OPENAI_SCOPE)

    assert roots == {run["run_id"]: run["trace_id"] for run in sent.runs}
    assert len(set(roots.values())) == len(sent.runs)
    assert {run["trace_id"]: run["api_calls"] for run in sent.runs if run["api_calls"]} == calls
    assert all(run["trace_sampled"] for run in sent.runs)
    assert {run["kind"] for run in sent.runs} == {"intake", "analysis", "late"}


def test_spans_have_all_attempts(sent: Sent) -> None:
    """The spans of calls have the attempts that the client hides."""
    calls = [attributes(span.attributes) for scope, span in sent.collector.spans() if scope == OPENAI_SCOPE]

    assert sum(call["analysis.openai.attempts"] for call in calls) == len(sent.ledger)
    assert (
        sum(call.get("analysis.openai.rate_limit_hits", 0) for call in calls)
        == truth(sent.ledger).rate_limit_hits
    )


def test_the_collector_lets_the_attributes_pass(sent: Sent) -> None:
    """Of what the application and its instrumentations send, our Collector removes these attributes alone."""
    names = {name for _, span in sent.collector.spans() for name in attributes(span.attributes)}

    assert names - set(allowed_keys()) == {
        *("db.statement", "http.host", "http.server_name", "http.target", "net.host.name")
    }


def test_canaries_are_in_the_documents(sent: Sent) -> None:
    """The host's own tables have them, so that the search below could find them."""
    assert set(leaks(sent.hosts)) == set(CANARIES) - {QUERY}


def test_nothing_leaks_over_otlp(sent: Sent) -> None:
    """No file name, address, name, text or query string is in any export."""
    assert {path for path, _ in sent.collector.bodies} == {"/v1/traces", "/v1/metrics"}
    assert leaks("".join(body.decode("utf-8", "replace") for _, body in sent.collector.bodies)) == []


def test_nothing_leaks_into_tables(sent: Sent) -> None:
    """None is in telemetry's tables and columns."""
    assert "InternalServerError" in sent.ours
    assert leaks(sent.ours) == []


def test_nothing_leaks_into_metrics_and_spool(sent: Sent) -> None:
    """None is in the pages of the listeners or in the spool."""
    assert "analysis_openai_tokens_total" in sent.metrics
    assert leaks(sent.metrics) == []
    assert leaks(sent.spool) == []


def test_preloaded_workers_are_instances(
    new_database: NewDatabase, shared_standin: StandIn, tmp_path: Path
) -> None:
    """Workers that are forked after set-up have ids of their own, and count nothing of the master's again."""
    shared_standin.reset_faults()
    shared_standin.clear()
    with Collector() as collector:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "SCREENER_REQUEST_LIMIT": "6"}
        with Stack(tmp_path, new_database("sqlite"), shared_standin, **settings) as stack:
            stack.web(preload=True)
            client = stack.client()
            for start in (81, 86):
                submit(client, [document.file for document in resumes(2, start=start)])
            stack.settle()
            stack.stop()
        expected = truth(shared_standin.ledger()["attempts"])

    assert len(collector.processes()) == 3
    assert collector.total("analysis.openai.attempts") == expected.attempts
    assert collector.total("analysis.openai.tokens", kind="input") == expected.input_tokens
