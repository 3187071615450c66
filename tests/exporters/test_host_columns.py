"""Hosts whose tables lack columns, or have other types: whatever can be written to their rows is."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy.engine import Engine

import telemetry
from exporters.sql.database.engine import create_engine
from exporters.sql.projection.behind import lagging_analyses, lagging_users
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.projection.plan import Projection
from exporters.sql.storage import runs as run_storage
from exporters.sql.storage.warning_requests import UserWarnings
from exporters.upkeep.import_history import History
from exporters.upkeep.sweep import sweep
from telemetry.cli.group import cli
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.exporters.makers import CREATED, KEY, SECOND, Fragment, Host, call, visit
from tests.waiting import until

HOSTS = ("sqlite", "psycopg2", "psycopg")
# Columns of every type, bound and returned by each driver in its own way.
EVERY_HOST = True
BIG = 2**31 + 5
"""An id that does not fit an INTEGER."""


def a_run(analysis_id: int = 1, user_id: int = 1) -> Fragment:
    run = Fragment(analysis_id=analysis_id, user_id=user_id, candidates=2)
    run.calls(call(pico=10**12))
    return run.documents(
        visit("a.pdf", size=5, characters=100, score=0.9, analysis_ns=SECOND),
        visit("b.pdf", size=7, characters=200, score=0.6, row_id=2),
    )


def show(engine: Engine, run: Fragment, analysis_id: int = 1, user_id: int = 1) -> None:
    """Deliver a run and project it into the host's rows; afterwards nothing is lagging."""
    run_storage.deliver(engine, run.close())
    rows = HostRows(engine, KEY)
    assert lagging_analyses(engine) == [analysis_id]
    assert rows.project_analysis(analysis_id) is Projection.DONE
    assert rows.project_user(user_id) is Projection.DONE
    assert (lagging_analyses(engine), lagging_users(engine)) == ([], [])


@pytest.fixture
def filled(host: Host) -> Host:
    """A user with an analysis of two files."""
    host.add_user()
    host.add_analysis()
    host.add_file(1, "a.pdf", b"12345", id=1)
    host.add_file(1, "b.pdf", b"1234567", id=2)
    return host


def files(host: Host) -> list[dict[str, Any]]:
    return host.rows("candidate_files")


ALL = (
    ("users", "created_at"),
    ("users", "email"),
    ("analyses", "created_at"),
    ("analyses", "completed_at"),
    ("analyses", "processing_duration_seconds"),
    ("analyses", "num_candidates"),
    ("analyses", "num_criteria"),
    ("analyses", "exceeded_resume_limit"),
    ("analyses", "user_chose_override"),
    ("analyses", "cost_usd"),
    ("candidate_files", "file_name"),
    ("candidate_files", "file_bytes"),
    ("candidate_files", "extracted_text"),
)


def drop(host: Host, table: str, column: str) -> None:
    if (table, column) == ("users", "email") and not host.is_postgresql:  # SQLite keeps what is unique
        host.execute("ALTER TABLE users RENAME COLUMN email TO address")
        return
    if not host.is_postgresql and (table, column) in (
        ("analyses", "completed_at"),
        ("analyses", "processing_duration_seconds"),
    ):
        host.execute(f"DROP INDEX idx_analyses_{column.removesuffix('_seconds')}")
    host.execute(f"ALTER TABLE {table} DROP COLUMN {column}")


@pytest.mark.parametrize("place", ALL, ids=".".join)
def test_any_column_may_be_missing(filled: Host, engine: Engine, place: tuple[str, str]) -> None:
    """Cost, scores and totals are written all the same, and so are files whose row ids are known."""
    drop(filled, *place)

    show(engine, a_run())

    assert float(filled.row("analyses")["total_api_cost"]) == 1
    assert filled.row("users")["total_jobs_run"] == 1
    by_name, by_id = files(filled)
    assert by_id["resume_character_count"] == 200
    assert by_id["resume_file_size_bytes"] == 7
    if place != ("candidate_files", "file_name"):
        assert (by_name["resume_character_count"], by_name["resume_file_size_bytes"]) == (100, 5)
    sweep(engine)
    assert filled.row("telemetry_runs")["analysis_gone"] in (False, 0)


def test_all_optional_columns_may_be_missing(filled: Host, engine: Engine) -> None:
    """Primary and foreign keys are enough."""
    for place in ALL:
        drop(filled, *place)

    show(engine, a_run())

    assert filled.row("analyses")["status"] == "completed"
    assert files(filled)[1]["resume_file_size_bytes"] == 7


def test_a_column_that_telemetry_added_may_be_missing(filled: Host, engine: Engine) -> None:
    """If the application's migration dropped one, the others are written all the same."""
    filled.execute("ALTER TABLE analyses DROP COLUMN cost_per_candidate")

    show(engine, a_run())

    assert float(filled.row("analyses")["total_api_cost"]) == 1


def test_a_host_may_have_no_table_of_files(filled: Host, engine: Engine) -> None:
    """Its analyses do not wait for rows of files."""
    filled.execute("DROP TABLE candidate_files")

    show(engine, a_run())

    assert filled.row("telemetry_runs")["files_pending"] == 0
    with History(filled.url) as history:
        assert sum(history.analyses()) == 0


def test_ids_may_exceed_an_integer(host: Host, engine: Engine) -> None:
    """A host may have BIGINT keys for users, analyses, files and warnings."""
    if host.is_postgresql:
        for table, column in (
            *(("users", "id"), ("analyses", "id"), ("analyses", "user_id")),
            *(("candidate_files", "id"), ("candidate_files", "analysis_id")),
        ):
            host.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE BIGINT")
    host.add_user(BIG)
    host.add_analysis(BIG, BIG)
    for number in range(25):  # as many as one statement writes
        host.add_file(BIG, f"{number}.pdf", id=BIG + number)
    run = Fragment(analysis_id=BIG, user_id=BIG, candidates=25)
    run.documents(*(visit(f"{n}.pdf", size=5, characters=n + 1, score=0.9) for n in range(25)))

    show(engine, run, BIG, BIG)

    assert [row["resume_character_count"] for row in files(host)] == list(range(1, 26))
    assert host.row("users")["total_jobs_run"] == 1
    warnings = UserWarnings(Settings(database_url=host.url))
    warnings.add(BIG, "batch_too_large", analysis_id=BIG)
    warnings.close()
    row = host.row("document_warnings")
    assert (row["user_id"], row["analysis_id"]) == (BIG, BIG)


ZONE = "timestamptz USING created_at AT TIME ZONE 'UTC'"


@pytest.mark.parametrize("host", ["psycopg2", "psycopg"], indirect=True)
@pytest.mark.parametrize("type_", [ZONE, "date USING created_at::date", "text USING created_at::text"])
def test_creation_times_may_have_other_column_types(filled: Host, type_: str) -> None:
    """Times with a zone are converted, whatever the session's zone; a date is midnight; a text is unknown."""
    for table in ("users", "analyses"):
        filled.execute(f"ALTER TABLE {table} ALTER COLUMN created_at TYPE {type_}")
    name = filled.url.rpartition("/")[2]
    filled.execute(f"ALTER DATABASE \"{name}\" SET timezone = 'Asia/Tokyo'")
    engine = create_engine(filled.url)

    show(engine, a_run())

    expected = {ZONE: CREATED, "text USING created_at::text": None}
    created = filled.row("telemetry_runs")["analysis_created_at"]
    assert created == expected.get(type_, CREATED.replace(hour=0))
    assert filled.row("telemetry_users")["created_at"] == created
    sweep(engine)
    assert not filled.row("telemetry_runs")["analysis_gone"]
    engine.dispose()


@pytest.mark.parametrize("host", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "value", ["soon", 1_790_000_000, 20.5, b"\x00", None, "2026-09-21", "2026-09-21T12:00:00Z"]
)
def test_sqlite_columns_may_hold_any_value(filled: Host, engine: Engine, value: Any) -> None:
    """A value that is no time counts as unknown, and the row is written all the same."""
    filled.execute("DROP INDEX IF EXISTS ix_analyses_created_at")
    filled.execute("ALTER TABLE analyses RENAME COLUMN created_at TO made_at")
    filled.execute("ALTER TABLE analyses ADD COLUMN created_at TIMESTAMP")
    filled.execute("UPDATE analyses SET created_at = :value", value=value)
    filled.execute("UPDATE candidate_files SET file_bytes = 'text', extracted_text = 12 WHERE id = 1")

    show(engine, a_run())

    sweep(engine)
    assert not filled.row("telemetry_runs")["analysis_gone"]
    assert files(filled)[0]["resume_file_size_bytes"] == 5


def test_an_analysis_may_have_no_user(filled: Host, engine: Engine) -> None:
    """A user that is NULL does not contradict the user of the run."""
    if filled.is_postgresql:
        filled.execute("ALTER TABLE analyses ALTER COLUMN user_id DROP NOT NULL")
        filled.execute("UPDATE analyses SET user_id = NULL")
        show(engine, a_run())
        assert float(filled.row("analyses")["total_api_cost"]) == 1


# History


def run_import(host: Host) -> str:
    environment = {"TELEMETRY_DATABASE_URL": host.url, "TELEMETRY_HMAC_KEY": "key"}
    done = CliRunner().invoke(cli, ["import-history"], env=environment)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("place", ALL, ids=".".join)
def test_history_is_imported_without_a_missing_column(filled: Host, place: tuple[str, str]) -> None:
    """The other columns are imported, and the command names the missing one."""
    filled.execute("UPDATE analyses SET completed_at = :at", at=CREATED + timedelta(seconds=60))
    drop(filled, *place)

    output = run_import(filled)

    table, column = place
    assert (f"Left out: {table}.{column}, which is not there" in output) == (column != "email")
    if place == ("analyses", "created_at"):
        assert filled.rows("telemetry_runs") == []
        return
    run = filled.row("telemetry_runs")
    ended = None if column == "completed_at" else CREATED + timedelta(seconds=60)
    assert (run["started_at"], run["ended_at"]) == (CREATED, ended)
    assert run["candidates"] == (2 if column == "num_candidates" else 1)
    assert run["resume_bytes"] == (None if column == "file_bytes" else 12)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("failed", "failed"),
        ("ERROR", "failed"),
        ("done", "completed"),
        ("on hold", "unknown"),
        (None, "completed"),
    ],
)
def test_an_imported_run_follows_a_status_column_of_the_host(
    host: Host, word: str | None, status: str
) -> None:
    """A failed row may have a completed_at, too: a status word that is known comes first."""
    host.add_user()
    host.add_analysis()
    host.execute("UPDATE analyses SET completed_at = :at", at=CREATED + timedelta(seconds=60))
    host.execute("DELETE FROM telemetry_added_objects WHERE object_name = 'status'")
    host.execute("UPDATE analyses SET status = :word", word=word)

    run_import(host)

    assert host.row("telemetry_runs")["status"] == status
    assert host.row("analyses")["status"] == word


def test_rows_without_a_creation_time_are_not_imported(host: Host) -> None:
    """They cannot be dated; the command says how many there are."""
    if not host.is_postgresql:
        return
    host.add_user()
    host.add_analysis()
    host.execute("ALTER TABLE analyses ALTER COLUMN created_at DROP NOT NULL")
    host.execute("UPDATE analyses SET created_at = NULL")

    assert "1 analyses have no created_at, and are not imported" in run_import(host)


def shown(host: Host, number: int) -> bool:
    """Return whether there are that many runs, all projected into their rows."""
    return [row["projected_version"] > 0 for row in host.rows("telemetry_runs")] == [True] * number


@pytest.mark.parametrize("host", ["sqlite"], indirect=True)
def test_missing_columns_are_logged_once(
    filled: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They are named in one line, however many runs there are, and every run is projected."""
    drop(filled, "candidate_files", "file_bytes")
    drop(filled, "analyses", "created_at")
    settings = Settings(database_url=filled.url, spool_dir=tmp_path / "spool", hmac_key=KEY.decode())
    with caplog.at_level(logging.WARNING), recording(settings):
        for calls in (1, 2):
            with telemetry.run("analysis", user_id=1) as run, telemetry.document("a.pdf", size=5) as document:
                document.score(0.8)
                run.link(1)
            until(partial(shown, filled, calls))

    (line,) = [record.message for record in caplog.records if "does without" in record.message]
    assert "candidate_files.file_bytes, which is not there (" in line
    assert "analyses.created_at, which is not there (" in line
    assert line.endswith("see docs/reference/host-tables.md")
    assert [row["resume_file_size_bytes"] for row in files(filled)] == [5, None]


def test_commands_accept_ids_that_exceed_an_integer(host: Host, engine: Engine) -> None:
    """An existing one is found; one that does not exist is no error of the database."""
    run_storage.deliver(engine, a_run(BIG, BIG).close())
    environment = {"TELEMETRY_DATABASE_URL": host.url, "TELEMETRY_HMAC_KEY": "key"}
    there = CliRunner().invoke(cli, ["report", "--analysis", f"{BIG}", "--json"], env=environment)
    absent = CliRunner().invoke(cli, ["report", "--analysis", f"{2**63 - 1}", "--json"], env=environment)
    erased = CliRunner().invoke(cli, ["erase", "--user", f"{BIG}"], env=environment)

    assert there.exit_code == 0, there.output
    assert absent.exit_code == 1
    assert f"there is no run of analysis {2**63 - 1}" in absent.output
    assert erased.output.startswith("1 run, ")
