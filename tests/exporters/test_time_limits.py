"""How long PostgreSQL lets telemetry's transactions wait: all have limits, and failed ones are retried."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

import telemetry
from exporters.sql.database.engine import create_engine
from exporters.sql.database.limits import DELIVERY, Limits
from exporters.sql.schema import migrate
from exporters.sql.storage.warning_requests import UserWarnings
from telemetry.cli.group import cli
from telemetry.conventions import WRITER_FAILURES
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.exporters.makers import Host
from tests.waiting import until

HOSTS = ("psycopg2", "psycopg")
# Limits are set on the connection, by each driver in its own way.
EVERY_HOST = True

NAMES = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
UNITS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600}
HOUR = 3600
DIALECT = ("select pg_catalog.version()", "select current_schema()", "show standard_conforming_strings")
"""Statements of SQLAlchemy on the first connection of an engine, which wait for no lock."""
COMMANDS = (
    "validate",
    "insights",
    "spool recover",
    "health-check",
    "import-history",
    "reprice --since 2026-01-01 --apply",
    "erase --user 1 --apply",
    "archive here --older-than 90 --apply",
    "export --format csv",
    "report",
    "doctor --no-run",
    "db current",
    "db upgrade",
)


def seconds(shown: str) -> float:
    """Return the answer of SHOW, such as ``200ms``, in seconds."""
    number = shown.rstrip("mshin")
    return float(number) * UNITS[shown[len(number) :] or "ms"]


@contextmanager
def watched() -> Iterator[dict[str, Limits]]:
    """Yield the limits of every statement that telemetry executes, as its own session shows them."""
    limits_by_statement: dict[str, Limits] = {}

    def look(connection: Any, _: Any, statement: str, *__: Any) -> None:
        session = connection.connection.dbapi_connection
        if session.autocommit or "set_config" in statement or statement.startswith(("RESET", *DIALECT)):
            return
        with session.cursor() as cursor:
            shown = []
            for name in NAMES:
                cursor.execute(f"SHOW {name}")
                shown.append(seconds(cursor.fetchone()[0]))
        limits_by_statement[statement] = Limits(*shown)

    sa.event.listen(sa.Engine, "after_cursor_execute", look)
    try:
        yield limits_by_statement
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", look)


def unlimited(limits_by_statement: dict[str, Limits]) -> list[str]:
    assert limits_by_statement
    return [
        text
        for text, limits in limits_by_statement.items()
        if not all(0 < limit <= 12 * HOUR for limit in limits)
    ]


def settings_of(host: Host, tmp_path: Path) -> Settings:
    return Settings(database_url=host.url, spool_dir=tmp_path / "spool", hmac_key="k", integrity_seconds=0)


def test_a_delivery_is_limited_to_seconds(host: Host, tmp_path: Path) -> None:
    """Its statements have the limits of `DELIVERY`."""
    host.add_user()
    host.add_analysis()
    with watched() as seen:
        with recording(settings_of(host, tmp_path)), telemetry.run("analysis", user_id=1, analysis_id=1):
            pass
        until(lambda: host.row("users")["total_jobs_run"] == 1)
        deliveries = {text: limits for text, limits in seen.items() if "INTO telemetry_runs" in text}

    assert deliveries
    assert all(limits.statement <= DELIVERY.statement for limits in deliveries.values())


def is_quiet(seen: dict[str, Any]) -> bool:
    """Return whether nothing is executed for a while."""
    before = dict(seen)
    time.sleep(0.3)
    return seen == before


def test_the_last_delivery_is_limited_to_the_time_left(host: Host, tmp_path: Path) -> None:
    """The shutdown of a process has a time limit, which no statement may exceed."""
    with recording(settings_of(host, tmp_path)) as pipeline, watched() as seen:
        with telemetry.run("intake"):
            pass
        until(lambda: host.rows("telemetry_runs") and is_quiet(seen))
        seen.clear()
        with telemetry.run("intake"):
            pipeline.shutdown(1.5)
        deliveries = [limits for text, limits in seen.items() if "telemetry_" in text]

    assert deliveries
    assert all(max(limits) <= 1.5 for limits in deliveries)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_limits(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """They are longer than those of a delivery, but no command waits for ever."""
    host.add_user()
    environment = {
        "TELEMETRY_DATABASE_URL": host.url,
        "TELEMETRY_HMAC_KEY": "k",
        "TELEMETRY_SPOOL_DIR": str(tmp_path),
    }
    monkeypatch.chdir(tmp_path)
    with watched() as seen:
        CliRunner().invoke(cli, command.split(), env=environment)

    assert unlimited(seen) == []


def test_a_warning_within_a_request_is_limited_to_seconds(host: Host, tmp_path: Path) -> None:
    """It has the limits of a delivery."""
    host.add_user()
    warnings = UserWarnings(settings_of(host, tmp_path))
    with watched() as seen:
        warnings.add(1, "document_count")
    warnings.close()

    assert {limits.statement for limits in seen.values()} == {DELIVERY.statement}


def test_sessions_of_the_host_have_no_limits(host: Host, tmp_path: Path) -> None:
    """This includes an engine of the host that is passed to a migration, after the migration."""
    with watched() as seen:
        migrate.upgrade(host.engine)
        assert unlimited(seen) == []
        seen.clear()
        host.execute("UPDATE users SET name = 'm'")

    assert set(seen.values()) == {Limits(0, 0, 0)}


def test_a_blocked_delivery_gives_up_and_is_retried(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction of the host has locked telemetry's tables."""
    monkeypatch.setattr("exporters.sql.writer.database.DELIVERY", Limits(lock=0.1, statement=0.5, idle=10))
    with recording(settings_of(host, tmp_path)) as pipeline:
        with host.holding("LOCK TABLE telemetry_runs"):
            with telemetry.run("intake"):
                pass
            until(lambda: failures(pipeline) >= 2)
            assert pipeline.spool.pending() == 1
        until(lambda: [row["status"] for row in host.rows("telemetry_runs")] == ["completed"])


def test_a_slow_statement_is_ended_and_retried(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trigger that sleeps makes it slow without any lock."""
    host.execute(
        "CREATE FUNCTION doze() RETURNS trigger AS"
        " $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$ LANGUAGE plpgsql"
    )
    host.execute(
        "CREATE TRIGGER doze BEFORE INSERT ON telemetry_fragments FOR EACH ROW EXECUTE FUNCTION doze()"
    )
    monkeypatch.setattr("exporters.sql.writer.database.DELIVERY", Limits(lock=0.1, statement=0.2, idle=10))
    with recording(settings_of(host, tmp_path)) as pipeline:
        with telemetry.run("intake"):
            pass
        until(lambda: failures(pipeline) >= 2)
        host.execute("DROP TRIGGER doze ON telemetry_fragments")
        until(lambda: [row["status"] for row in host.rows("telemetry_runs")] == ["completed"])


def test_sqlite_waits_a_few_seconds_for_another_writer(sqlite_host: Host) -> None:
    """The limit is that of the driver."""
    engine = create_engine(sqlite_host.url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000
    engine.dispose()


def failures(pipeline: Any) -> int:
    return sum(count for _, count in pipeline.metrics.totals.read(WRITER_FAILURES))
