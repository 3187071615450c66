"""An application that is full of people's data: nothing of it leaves, and none is kept by us.

OpenTelemetry's own consent to capture prompts and answers is always given here: it is not enough.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from examples.screener.standin.client import StandIn
from exporters.sql.schema import migrate
from exporters.sql.schema import tables as schema
from tests.end_to_end.collector import Collector
from tests.end_to_end.processes import ROOT, environment
from tests.privacy.canaries import CANARIES, LITERAL, found_in
from tests.privacy.host import FAULTS

EVERYTHING = {
    "TELEMETRY_EXCEPTION_MESSAGES": "true",
    "TELEMETRY_MESSAGE_CONTENT": "true",
    "TELEMETRY_LOG_MESSAGES": "true",
}
SIGNALS = ("/v1/traces", "/v1/metrics", "/v1/logs")


@dataclass(frozen=True)
class Left:
    """What the application left behind."""

    collector: Collector
    folder: Path

    def sent(self, signal: str) -> bytes:
        """All that was sent of one signal."""
        return b"".join(body for path, body in self.collector.bodies if path == signal)

    def spooled(self) -> dict[str, bytes]:
        """The files in the spool."""
        return {str(path): path.read_bytes() for path in (self.folder / "spool").rglob("*") if path.is_file()}

    def stored(self) -> dict[str, str]:
        """All rows of each of our tables."""
        engine = sa.create_engine(f"sqlite:///{self.folder / 'host.sqlite'}", poolclass=sa.NullPool)
        with engine.connect() as connection:
            tables = {name: table for name, table in schema.metadata.tables.items() if "telemetry" in name}
            return {name: repr(connection.execute(sa.select(table)).all()) for name, table in tables.items()}


Run = Callable[..., Left]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the application with settings of the test's choice."""

    def once(every: int = 1, **settings: str) -> Left:
        folder = tmp_path_factory.mktemp("privacy")
        url = f"sqlite:///{folder / 'host.sqlite'}"
        migrate.upgrade(url, with_base_tables=True)
        with Collector() as collector, StandIn(FAULTS) as standin:
            env = environment(
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
                OTEL_LOGS_EXPORTER="otlp",
                OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED="true",
                OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="SPAN_AND_EVENT",
                OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT="true",
                TELEMETRY_METRICS_PORT="0",
                TELEMETRY_SPOOL_DIR=str(folder / "spool"),
                **{"TELEMETRY_DATABASE_URL": url, **settings},
            )
            command = [sys.executable, "-m", "tests.privacy.host", standin.url, str(folder), str(every)]
            done = subprocess.run(command, cwd=ROOT, env=env, timeout=300, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]
        return Left(collector, folder)

    return once


@pytest.fixture(scope="module")
def left(run: Run) -> Left:
    """What is left with the settings as they are."""
    return run()


@pytest.fixture(scope="module")
def left_waiting(run: Run) -> Left:
    """What is left with every consent, when the database cannot be reached."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return run(
        every=6,
        TELEMETRY_DATABASE_URL=f"postgresql+psycopg://127.0.0.1:{port}/host",
        TELEMETRY_SHUTDOWN_SECONDS="1",
        **EVERYTHING,
    )


@pytest.mark.parametrize("signal", SIGNALS)
def test_nothing_is_sent(left: Left, signal: str) -> None:
    """Spans, metrics and log records are sent, and no canary is in them."""
    sent = left.sent(signal)

    assert len(sent) > 10_000
    assert found_in(sent) == []


def test_what_is_sent_is_of_use(left: Left) -> None:
    """Spans still tell the type of an error, and statements their tables; records their place in the code."""
    assert b"Unreadable" in left.sent("/v1/traces")
    assert b"FROM nowhere WHERE name = ?" in left.sent("/v1/traces")
    assert b"fail_everywhere" in left.sent("/v1/logs")


def test_nothing_is_stored(left: Left) -> None:
    """Our tables are full, and no canary is in them."""
    stored = left.stored()

    assert "Unreadable" in stored["telemetry_fragments"]
    assert {name for name, rows in stored.items() if found_in(rows)} == set()


def test_nothing_is_measured(left: Left) -> None:
    """Nor in what the listener says."""
    metrics = (left.folder / "metrics").read_text()

    assert "Unreadable" in metrics
    assert found_in(metrics) == []


def test_nothing_is_spooled(left_waiting: Left) -> None:
    """Nor in what waits for a database, whatever the operator lets out."""
    spooled = left_waiting.spooled()

    assert sum(b"Unreadable" in data for data in spooled.values()) >= 4
    assert [name for name in spooled if found_in(name)] == []
    assert [name for name, data in spooled.items() if found_in(data)] == []


def test_who_asks_for_it_gets_it(left_waiting: Left) -> None:
    """With every consent all canaries are sent: the instruments see them, and so does this test."""
    assert set(CANARIES) - set(found_in(left_waiting.sent("/v1/traces"))) == {LITERAL}
    assert set(CANARIES) - set(found_in(left_waiting.sent("/v1/logs"))) == set()
    assert found_in(left_waiting.sent("/v1/metrics")) == []
