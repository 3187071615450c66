"""In the screener's requests and worker, telemetry exports and stores no word of a résumé."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from examples.screener.standin.client import StandIn
from tests.end_to_end.collector import Collector
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.database import Database
from tests.end_to_end.documents import CANARIES, damaged, leaks, resumes
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import submit
from tests.spool import everything

QUERY = "Screener-Canary-Query"
LIMIT = 4
"""More résumés than this are left to the worker."""
FAULTS: list[dict[str, Any]] = [
    {"match": {"task": "name", "contains": "ada.1@"}, "bad_json": True},
    {"match": {"task": "rank", "contains": "ada.2@"}, "bad_json": True},
    {"match": {"task": "rank", "contains": "ada.3@"}, "status": 500, "retry_after_ms": 1},
    {"match": {"task": "insights", "contains": "ada.21@"}, "bad_json": True},
]
SETTINGS = {
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT",
    "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT": "true",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true",
    "SCREENER_APP_RETRIES": "0",
    "SCREENER_REQUEST_LIMIT": str(LIMIT),
}


@dataclass(frozen=True)
class Left:
    """The data that telemetry and the host exported and stored."""

    sent: dict[str, str]
    """Text of all exports, by signal."""
    ours: dict[str, str]
    """Text of each table and column of telemetry."""
    hosts: str
    """Text of the host's own tables."""
    metrics: str
    spool: dict[str, str]
    """Text of the files in the spool, by path."""


@pytest.fixture(scope="module")
def standin() -> Iterator[StandIn]:
    with StandIn(FAULTS) as standin:
        yield standin


@pytest.fixture(scope="module")
def left(new_database: NewDatabase, standin: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """The data after two analyses, and after requests for pages that do not exist."""
    with Collector() as collector:
        settings = {**SETTINGS, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with Stack(tmp_path_factory.mktemp("left"), new_database("sqlite"), standin, **settings) as stack:
            use(stack, LIMIT - 1, LIMIT + 2)
            stack.settle()
            metrics = "".join(stack.metrics().texts)
            stack.stop()
        return Left(sent(collector), ours(stack.sql), hosts(stack.sql), metrics, spooled(stack))


@pytest.fixture(scope="module")
def left_waiting(
    new_database: NewDatabase, standin: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The files in the spool while telemetry's database cannot be reached."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {
            "TELEMETRY_DATABASE_URL": f"postgresql+psycopg2://127.0.0.1:{taken.getsockname()[1]}/gone",
            "TELEMETRY_SHUTDOWN_SECONDS": "0.5",
            "SCREENER_REQUEST_LIMIT": "1",
        }
    with Stack(tmp_path_factory.mktemp("waiting"), new_database("sqlite"), standin, **settings) as stack:
        use(stack, 1, 2)
        stack.stop()
        return spooled(stack)


def use(stack: Stack, small: int, large: int) -> None:
    """Analyse a few résumés in a request and more in the worker, and request pages that do not exist."""
    stack.web(workers=1)
    stack.worker()
    client = stack.client()
    submit(client, [*(resume.file for resume in resumes(small)), damaged()])
    submit(client, [resume.file for resume in resumes(large, start=21)])
    requests.get(f"{stack.url}/resumes/Quillfeather-1.pdf?name={QUERY}", timeout=300)
    requests.get(f"{stack.url}/sign-in?next={QUERY}", headers={"User-Agent": f"{QUERY}/1.0"}, timeout=300)


def sent(collector: Collector) -> dict[str, str]:
    texts: dict[str, str] = {}
    for path, body in collector.bodies:
        texts[path] = texts.get(path, "") + body.decode("utf-8", "replace")
    return texts


def ours(sql: Database) -> dict[str, str]:
    """Return all rows of the added tables, and of the columns added to the host's tables."""
    added = sql.rows("SELECT * FROM telemetry_added_objects")
    tables = {row["table_name"] for row in added if row["object_type"] == "table"}
    texts = {table: str(sql.rows(f"SELECT * FROM {table}")) for table in tables}
    for row in added:
        table, column = row["table_name"], row["object_name"]
        if row["object_type"] == "column" and table not in tables:
            texts[f"{table}.{column}"] = str(sql.rows(f"SELECT {column} FROM {table}"))
    return texts


def hosts(sql: Database) -> str:
    return "".join(
        str(sql.rows(f"SELECT * FROM {table}")) for table in ("drafts", "draft_resumes", "candidate_files")
    )


def spooled(stack: Stack) -> dict[str, str]:
    return everything(stack.spool)


def test_host_stores_every_canary(left: Left) -> None:
    """The application itself has all of them, so that there is something to leak."""
    assert set(leaks(left.hosts)) == set(CANARIES) - {QUERY}


@pytest.mark.parametrize("signal", ["/v1/traces", "/v1/metrics", "/v1/logs"])
def test_exports_hold_no_canary(left: Left, signal: str) -> None:
    """Spans, metrics and log records of both processes hold no name, file, text or query."""
    text = left.sent[signal]

    assert leaks(text) == []
    assert "input_value" not in text


def test_all_signals_are_exported(left: Left) -> None:
    """There are spans of requests and calls, and log records, for the test above to search."""
    assert {"/v1/traces", "/v1/metrics", "/v1/logs"} == set(left.sent)
    assert "GET /sign-in" in left.sent["/v1/traces"]
    assert "gen_ai.usage.input_tokens" in left.sent["/v1/traces"]
    assert "examples.screener.ai" in left.sent["/v1/logs"]
    assert "gen_ai.client.inference.operation.details" in left.sent["/v1/logs"]


def test_tables_hold_no_canary(left: Left) -> None:
    """No table or column of telemetry holds one."""
    assert {"telemetry_runs", "telemetry_fragments", "analyses.error_details"} <= set(left.ours)
    assert "JSONDecodeError" in left.ours["telemetry_fragments"]
    assert {name for name, text in left.ours.items() if leaks(text)} == set()


def test_metrics_hold_no_canary(left: Left) -> None:
    """The pages of the listeners hold none."""
    assert "analysis_openai_tokens_total" in left.metrics
    assert leaks(left.metrics) == []


def test_spool_holds_no_canary(left_waiting: dict[str, str]) -> None:
    """Neither the files that wait for the database hold one, nor their names."""
    fragments = {path: text for path, text in left_waiting.items() if path.endswith(".json")}

    assert len(fragments) >= 4
    assert leaks("".join([*left_waiting, *left_waiting.values()])) == []
