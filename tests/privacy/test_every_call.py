"""Nothing of an application's personal data is exported or stored by telemetry.

OpenTelemetry's own setting to capture prompts and answers is always on here, and does not suffice.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from examples.screener.standin.client import StandIn
from exporters.sql.schema import migrate
from exporters.sql.schema import tables as schema
from tests import fresh
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
    """The data that telemetry exported and stored for the application."""

    collector: Collector
    folder: Path

    def sent(self, signal: str) -> bytes:
        """Return all exported bodies of one signal."""
        return b"".join(body for path, body in self.collector.bodies if path == signal)

    def spooled(self) -> dict[str, bytes]:
        """Return the files in the spool."""
        return {str(path): path.read_bytes() for path in (self.folder / "spool").rglob("*") if path.is_file()}

    def stored(self) -> dict[str, str]:
        """Return all rows of each of telemetry's tables."""
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
            command = ("-m", "tests.privacy.host", standin.url, str(folder), str(every))
            done = fresh.run(*command, cwd=ROOT, env=env)
        assert done.returncode == 0, done.stderr[-4000:]
        return Left(collector, folder)

    return once


@pytest.fixture(scope="module")
def left(run: Run) -> Left:
    """The data with default settings."""
    return run()


@pytest.fixture(scope="module")
def left_waiting(run: Run) -> Left:
    """The data with all content allowed, while the database cannot be reached."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return run(
        every=6,
        TELEMETRY_DATABASE_URL=f"postgresql+psycopg://127.0.0.1:{port}/host",
        TELEMETRY_SHUTDOWN_SECONDS="1",
        **EVERYTHING,
    )


@pytest.mark.parametrize("signal", SIGNALS)
def test_exports_hold_no_canary(left: Left, signal: str) -> None:
    """Spans, metrics and log records are exported without personal data."""
    sent = left.sent(signal)

    assert len(sent) > 10_000
    assert found_in(sent) == []


def test_exports_keep_types_tables_and_places(left: Left) -> None:
    """Spans still have the type of an error, statements their tables, and log records their function."""
    assert b"Unreadable" in left.sent("/v1/traces")
    assert b"FROM nowhere WHERE name = ?" in left.sent("/v1/traces")
    assert b"fail_everywhere" in left.sent("/v1/logs")


def test_tables_hold_no_canary(left: Left) -> None:
    """Telemetry's tables have rows without personal data."""
    stored = left.stored()

    assert "Unreadable" in stored["telemetry_fragments"]
    assert {name for name, rows in stored.items() if found_in(rows)} == set()


def test_metrics_hold_no_canary(left: Left) -> None:
    """The page of the listener has error types, but no personal data."""
    metrics = (left.folder / "metrics").read_text()

    assert "Unreadable" in metrics
    assert found_in(metrics) == []


def test_spool_holds_no_canary(left_waiting: Left) -> None:
    """Entries that wait for the database hold none, even with all content allowed for export."""
    spooled = left_waiting.spooled()

    assert sum(b"Unreadable" in data for data in spooled.values()) >= 4
    assert [name for name in spooled if found_in(name)] == []
    assert [name for name, data in spooled.items() if found_in(data)] == []


def test_allowed_content_is_exported(left_waiting: Left) -> None:
    """With all content allowed the canaries are exported, so that the tests above could see them."""
    assert set(CANARIES) - set(found_in(left_waiting.sent("/v1/traces"))) == {LITERAL}
    assert set(CANARIES) - set(found_in(left_waiting.sent("/v1/logs"))) == set()
    assert found_in(left_waiting.sent("/v1/metrics")) == []
