"""The application gives the same answers, whatever state telemetry is in."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from examples.screener.standin.client import StandIn
from tests.choice import first_of
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.documents import leaks
from tests.end_to_end.ledger import truth
from tests.end_to_end.stack import Stack
from tests.end_to_end.transcript import FAULTS, SETTINGS, Transcript, play
from tests.spool import snapshots, waiting

BLOCKED = str(Path(__file__).parent / "blocked")
WITHOUT_SDK = "opentelemetry.sdk,opentelemetry.instrumentation,opentelemetry.exporter"
API_ONLY = (
    f"{WITHOUT_SDK},opentelemetry.proto,opentelemetry.semconv,opentelemetry.util.genai,opentelemetry.util.http,"
    "exporters,alembic,genai_prices,prometheus_client,wrapt"
)
SLOWER_BY = 4.0
"""Seconds by which an analysis may be slower on a busy machine; less than any wait for a database."""


@dataclass(frozen=True)
class Session:
    """A session with the logs of its processes."""

    transcript: Transcript
    web_log: str
    worker_log: str

    def complaints(self) -> list[str]:
        """Return the lines about telemetry in the log of the web processes."""
        return [line for line in self.web_log.splitlines() if re.search("telemetry", line, re.IGNORECASE)]


@pytest.fixture(scope="module")
def expected(
    new_database: NewDatabase, shared_standin: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Transcript:
    """The session with telemetry running."""
    folder = tmp_path_factory.mktemp("on")
    session = _session(folder, new_database("sqlite"), shared_standin, {})

    assert session.complaints() == []
    return session.transcript


def test_session_is_interesting(expected: Transcript) -> None:
    """It has successes and failures of every kind to compare."""
    statuses = {status for _, _, status, _ in expected.answers}
    coverage = "".join(row["coverage_data"] or "" for row in expected.tables["analyses"])

    assert {200, 201, 202, 400, 404, 502} <= statuses
    assert '"fallback": true' in coverage and '"fallback": false' in coverage
    assert [job["state"] for job in expected.tables["jobs"]] == ["completed", "completed", "failed"]
    assert {payment["kind"] for payment in expected.tables["payments"]} == {"charge", "refund"}
    assert sum(job["retries"] for job in expected.tables["jobs"]) > 0
    assert len(expected.tables["candidate_files"]) == 4 + 5


def test_answers_are_the_same_with_telemetry_off(
    expected: Transcript, new_database: NewDatabase, shared_standin: StandIn, tmp_path: Path
) -> None:
    """With TELEMETRY_ENABLED=false nothing is recorded or logged."""
    database = new_database("sqlite")
    session = _session(tmp_path, database, shared_standin, {"TELEMETRY_ENABLED": "false"})

    _compare(session.transcript, expected)
    assert session.complaints() == []
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize(
    "blocked",
    first_of([API_ONLY, WITHOUT_SDK], "more of the libraries are there"),
    ids=["API only", "without the SDK"],
)
def test_answers_are_the_same_without_the_extras(
    blocked: str, expected: Transcript, new_database: NewDatabase, shared_standin: StandIn, tmp_path: Path
) -> None:
    """Without the SDK one line says why nothing is recorded."""
    settings = {"PYTHONPATH": BLOCKED, "BLOCKED_IMPORTS": blocked}
    session = _session(tmp_path, new_database("sqlite"), shared_standin, settings)

    _compare(session.transcript, expected)
    assert len(session.complaints()) == 1
    assert session.complaints()[0].endswith("pip install 'analysis-telemetry[sdk]'")


def test_answers_are_the_same_with_an_invalid_setting(
    expected: Transcript, new_database: NewDatabase, shared_standin: StandIn, tmp_path: Path
) -> None:
    """One line names the setting and what it must be."""
    settings = {"TELEMETRY_METRICS_PORT": "abc"}
    session = _session(tmp_path, new_database("sqlite"), shared_standin, settings)

    _compare(session.transcript, expected)
    assert session.complaints() == [
        "telemetry is off for examples.screener.app: TELEMETRY_METRICS_PORT='abc' must be a whole number"
    ]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    """A port at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize("kind", ["closed_port", "silent_port"])
def test_answers_are_the_same_with_an_unreachable_database(
    kind: str,
    request: pytest.FixtureRequest,
    expected: Transcript,
    new_database: NewDatabase,
    shared_standin: StandIn,
    tmp_path: Path,
) -> None:
    """They come as quickly, and everything waits in the spool."""
    port = request.getfixturevalue(kind)
    settings = {
        "TELEMETRY_DATABASE_URL": f"postgresql+psycopg2://somebody:secret@127.0.0.1:{port}/nowhere",
        "TELEMETRY_SHUTDOWN_SECONDS": "0.5",
    }
    session = _session(tmp_path, new_database("sqlite"), shared_standin, settings)
    left = snapshots(tmp_path / "spool")

    _compare(session.transcript, expected)
    assert session.transcript.analysis_seconds < expected.analysis_seconds + SLOWER_BY
    assert all(snapshot.is_closed for snapshot in left)
    billed = truth(shared_standin.ledger()["attempts"])
    usage = [sums for snapshot in left for sums in snapshot.usage.values()]
    assert sum(sums.calls for sums in usage) == billed.calls
    assert sum(sums.attempts for sums in usage) == billed.attempts
    assert sum(sums.cost_pico for sums in usage) == billed.cost_pico
    assert not [leak for path in waiting(tmp_path / "spool") for leak in leaks(path.read_text())]
    assert all("cannot write to its database" in line for line in session.complaints())
    assert session.complaints() or kind == "silent_port"  # there it is noticed only after a while
    assert "secret" not in session.web_log + session.worker_log


def _session(folder: Path, database: str, standin: StandIn, settings: dict[str, str]) -> Session:
    """Run the session with one web process and the worker, and stop both."""
    standin.clear()
    standin.faults(FAULTS)
    with Stack(folder, database, standin, **SETTINGS, **settings) as stack:
        stack.web(workers=1)
        stack.worker()
        transcript = play(stack)
        stack.stop()
        return Session(transcript, *(stack.processes[name].text() for name in ("web", "worker")))


def _compare(actual: Transcript, expected: Transcript) -> None:
    assert actual.answers == expected.answers
    assert actual.tables == expected.tables
