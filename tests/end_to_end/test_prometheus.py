"""Metrics end to end: two gunicorn workers and the worker, by OTLP through the Collector to Prometheus.

Every metric of the catalogue arrives under its name, with its type, unit and labels. The sums over all
processes, also over those that were restarted, are those of the stand-in's ledger.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from examples.screener.standin.client import StandIn
from exporters.sql.schema import tables
from telemetry import conventions as c
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.documents import damaged, resumes
from tests.end_to_end.ledger import Truth, dollars, truth
from tests.end_to_end.observed import PROMOTED, Observed, observed
from tests.end_to_end.processes import environment
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import submit
from tests.every_metric import described
from tests.waiting import NotInTime, until

FAULTS: list[dict[str, Any]] = [
    {"match": {"task": "rank"}, "status": 429, "first_total": 2, "retry_after_ms": 5},
    {"match": {"task": "rank", "contains": "ada.2@"}, "status": 500, "retry_after_ms": 5},
]
SETTINGS = {
    "SCREENER_APP_RETRIES": "1",
    "SCREENER_REQUEST_LIMIT": "4",
    "SCREENER_RESUME_LIMIT": "6",
    "TELEMETRY_ANOMALY_MIN_JOBS": "1",
    "TELEMETRY_INTEGRITY_SECONDS": "2",
}
PROCESSES = 4
"""Two web workers, and the worker before and after its restart."""
NOT_PROVOKED = {
    c.VALUES_COERCED: "the example passes no value that does not fit its column",
}
"""The metrics that never have a value here, with the reason."""
GENAI_LABELS = {
    *("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model"),
    *("server_address", "server_port"),
}


@dataclass(frozen=True)
class Session:
    """What was done and seen."""

    observed: Observed
    truth: Truth


@pytest.fixture(scope="module")
def session(
    new_database: NewDatabase, shared_standin: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Session]:
    """Analyses in requests and in two workers, one after the other, with failures and a past."""
    shared_standin.clear()
    shared_standin.faults(FAULTS)
    folder, url = tmp_path_factory.mktemp("prometheus"), new_database("sqlite")
    with observed(folder, url, shared_standin, **SETTINGS) as system:
        stack = system.stack
        stack.web()
        stack.worker()
        system.wait_for_processes(3)
        client = stack.client()
        submit(client, [*(document.file for document in resumes(3)), damaged()])
        submit(client, [document.file for document in resumes(8, start=21)], override=True)
        assert stack.processes["worker"].stop() == 0
        stack.worker()
        system.wait_for_processes(PROCESSES)
        submit(client, [document.file for document in resumes(5, start=41)])
        stack.settle()
        _add_past(stack)
        yield Session(system, truth(shared_standin.ledger()["attempts"]))


def _add_past(stack: Stack) -> None:
    """Repeat an analysis on the day before, and on the same weekday of the four weeks before that."""
    runs = tables.runs
    with stack.sql.engine.begin() as connection:
        query = sa.select(runs).where(runs.c.kind == "analysis", runs.c.status == "completed").limit(1)
        row = dict(connection.execute(query).mappings().one())
        for days in (1, 8, 15, 22, 29):
            times = ("started_at", "ended_at", "seen_at")
            moved = {name: row[name] - timedelta(days) for name in times}
            connection.execute(
                runs.insert().values({**row, **moved, "run_id": uuid4().hex, "analysis_ref": None})
            )
    command = [
        sys.executable,
        "-m",
        "flask",
        "telemetry",
        "health-check",
        "--database-url",
        stack.database_url,
    ]
    subprocess.run(command, env=environment(), capture_output=True, check=True)


def _arrived(session: Session) -> set[tuple[str, str, str]]:
    return {
        (one["__name__"], one.get("__type__", ""), one.get("__unit__", ""))
        for one in session.observed.series()
        if one["__name__"].startswith(("analysis_", "telemetry_"))
    }


def test_every_metric_arrives(session: Session) -> None:
    """Each has the name, type and unit of the catalogue, and there are no others."""
    expected = {one for metric in c.METRICS if metric not in NOT_PROVOKED for one in described(metric)}

    with suppress(NotInTime):  # the comparison shows what is missing
        until(lambda: not expected - _arrived(session), 120)
    assert _arrived(session) == expected


def test_labels_are_those_of_the_catalogue(session: Session) -> None:
    """Beside its own labels a metric has process and promoted attributes, the same on every series."""
    metrics = {name: metric for metric in c.METRICS for name, _, _ in described(metric)}
    common = {"__name__", "__type__", "__unit__", "job", "instance", "le", *PROMOTED}
    for one in session.observed.series():
        assert PROMOTED.items() <= one.items(), one
        if metric := metrics.get(one["__name__"]):
            assert one.keys() - common <= set(metric.labels), one


def test_every_process_is_an_instance(session: Session) -> None:
    """Both web workers and both lives of the worker have ids of their own, and their attributes are known."""
    expression = 'group by (instance) (last_over_time(telemetry_internal_errors_total{job="screener"}[1h]))'

    until(lambda: session.observed.total(f"count({expression})") == PROCESSES, what="all processes")
    infos = session.observed.series("target_info")
    assert {one["service_instance_id"] for one in infos} == {one["instance"] for one in infos}
    assert len({one["instance"] for one in infos}) == PROCESSES
    assert {(one["job"], one["telemetry_sdk_language"]) for one in infos} == {("screener", "python")}


def test_sums_are_those_of_the_ledger(session: Session) -> None:
    """A restart between two analyses loses nothing, and no instance is counted twice."""
    counted, expected = session.observed.counted, session.truth
    cost = float(dollars(expected.cost_pico))

    attempts = "analysis_openai_attempts_total"
    with suppress(NotInTime):  # the comparison shows what is missing
        until(lambda: counted(attempts) == expected.attempts, what="the last export")
    assert counted(attempts) == expected.attempts
    assert counted("analysis_openai_operations_total") == expected.calls
    assert counted("analysis_openai_operations_total", outcome="error") == expected.errors > 0
    assert counted("analysis_openai_attempts_total", status="429") == expected.rate_limit_hits > 0
    assert counted("analysis_openai_tokens_total", kind="input") == expected.input_tokens
    assert counted("analysis_openai_tokens_total", kind="output") == expected.output_tokens
    assert counted("analysis_openai_cost_usd_total") == pytest.approx(cost, rel=1e-9)


def test_increases_are_those_of_the_ledger(session: Session) -> None:
    """Of counters that begin with 0, and no counter of a process ever goes backwards."""
    system, expected = session.observed, session.truth
    attempts = "analysis_openai_attempts_total"

    until(lambda: system.risen(attempts) == expected.attempts, what="the last export")
    assert system.risen(attempts, status="429") == expected.rate_limit_hits
    for name in (attempts, "analysis_openai_tokens_total", "analysis_runs_total"):
        assert system.total(f"resets({name}[1h])") == 0


def test_exemplars_lead_to_traces(session: Session) -> None:
    """From the duration of an analysis, and of a call, to its trace in Jaeger, with all its spans."""
    system = session.observed
    rows = system.stack.sql.rows(
        "SELECT trace_id, run_id, api_calls FROM telemetry_runs"
        " WHERE kind = 'analysis' AND analysis_ref IS NOT NULL"
    )
    runs = {row["trace_id"]: row for row in rows}
    found = until(
        lambda: system.exemplars("analysis_run_duration_seconds", kind="analysis"), what="an exemplar"
    )
    assert found <= set(runs)
    calls = {trace_id: runs[trace_id]["api_calls"] for trace_id in found}
    until(lambda: {trace_id: _calls(system, trace_id) for trace_id in found} == calls, what="all spans")
    for trace_id in found:
        trace = system.jaeger.trace(trace_id)
        assert trace is not None
        tags = {tag["key"]: tag["value"] for span in trace["spans"] for tag in span["tags"]}
        assert tags[c.Attribute.RUN_ID] == runs[trace_id]["run_id"]

    of_calls = until(lambda: system.exemplars("gen_ai_client_token_usage"), what="an exemplar of a call")
    until(lambda: all(map(system.jaeger.trace, of_calls)), what="their traces")


def _calls(system: Observed, trace_id: str) -> int:
    """Return the number of calls in a trace."""
    trace = system.jaeger.trace(trace_id) or {"spans": []}
    keys = [{tag["key"] for tag in span["tags"]} for span in trace["spans"]]
    return sum(c.Attribute.OPERATION in tags for tags in keys)


def test_standard_metrics_arrive(session: Session) -> None:
    """Those of the conventions for generative AI have their names, units and labels, and right sums."""
    system, expected = session.observed, session.truth
    calls, usage = "gen_ai_client_operation_duration_seconds", "gen_ai_client_token_usage"
    until(lambda: system.counted(f"{calls}_count") == expected.calls, what="all calls")

    assert system.counted(f"{usage}_sum", gen_ai_token_type="input") == expected.input_tokens
    assert system.counted(f"{usage}_sum", gen_ai_token_type="output") == expected.output_tokens
    assert system.total(f'sum(last_over_time({calls}_count{{error_type!=""}}[1h]))') == expected.errors
    standard = {one["__name__"] for one in system.series() if one["__name__"].startswith("gen_ai_")}
    assert standard == {f"{name}{end}" for name in (calls, usage) for end in ("_bucket", "_sum", "_count")}
    common = {"__name__", "__type__", "__unit__", "job", "instance", "le", *PROMOTED}
    for name, own, unit in ((calls, "error_type", "seconds"), (usage, "gen_ai_token_type", None)):
        for one in system.series(f"{name}_sum"):
            assert one.keys() - common <= {*GENAI_LABELS, own}
            assert (one["__type__"], one.get("__unit__")) == ("histogram", unit)
            assert one["gen_ai_provider_name"] == "openai"
            assert one["gen_ai_operation_name"] in {"chat", "embeddings"}


def test_a_kill_loses_what_was_not_exported(session: Session, shared_standin: StandIn) -> None:
    """SQL has it; and what was exported of a killed process stays."""
    system, stack = session.observed, session.observed.stack
    attempts = "analysis_openai_attempts_total"
    before = until(lambda: system.counted(attempts), what="the last export")
    stack.processes["worker"].stop()
    stack.worker(OTEL_METRIC_EXPORT_INTERVAL="3600000")
    since = shared_standin.ledger()["attempts"][-1]["seq"]
    submit(stack.client(), [document.file for document in resumes(5, start=61)])
    stack.settle()
    stack.processes["worker"].kill()

    lines = shared_standin.ledger()["attempts"]
    in_web = [line for line in lines if line["seq"] > since and line["task"] in ("criteria", "name")]
    until(lambda: system.counted(attempts) == before + len(in_web), what="what the web workers did")
    assert system.counted(attempts) < len(lines)
    real = "analysis_ref IS NOT NULL OR kind <> 'analysis'"
    assert stack.sql.value(f"SELECT SUM(attempts) FROM telemetry_runs WHERE {real}") == len(lines)
