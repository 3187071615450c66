"""Analyses from before telemetry are imported once, with what is known of them and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exporters.sql.database.engine import create_engine
from exporters.sql.projection import behind
from exporters.sql.projection.behind import lagging_analyses
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.schema import migrate
from exporters.sql.storage import runs as run_storage
from exporters.upkeep import import_history
from exporters.upkeep.import_history import History
from tests import fresh
from tests.exporters.makers import CREATED, KEY, SECOND, SOME_HOSTS, Fragment, Host, call
from tests.migrations.databases import create_host

HOSTS = SOME_HOSTS

Take = Callable[[], int]


@pytest.fixture
def take(host: Host) -> Take:
    """A function that does what the command does, and returns how many analyses were imported."""
    return lambda: run_import(host.url)


def run_import(url: str) -> int:
    with History(url) as past:
        imported = sum(past.analyses())
        assert all([past.refresh(user) for user in past.users()])
    return imported


@pytest.fixture
def old(host: Host) -> Host:
    """Two users with three analyses: one with files, one without, one that never ended."""
    for user in (1, 2):
        host.add_user(user)
    for row, user in ((1, 1), (2, 1), (3, 2)):
        host.add_analysis(row, user)
    host.execute("UPDATE analyses SET num_candidates = 10 * id, num_criteria = 4")
    ended = {"ended": CREATED + timedelta(seconds=90)}
    host.execute("UPDATE analyses SET completed_at = :ended WHERE id < 3", **ended)
    host.execute("UPDATE analyses SET processing_duration_seconds = 77 WHERE id = 1")
    host.add_file(1, "a.pdf", b"12345")
    host.add_file(1, "Jane Doe.DOCX", b"1234567")
    host.execute("UPDATE candidate_files SET extracted_text = 'äöü' WHERE file_name = 'a.pdf'")
    return host


def runs_of(host: Host) -> dict[int, dict[str, Any]]:
    return {row["analysis_ref"]: row for row in host.rows("telemetry_runs")}


def test_every_old_analysis_becomes_a_run(old: Host, take: Take) -> None:
    """Times and numbers come from its row, sizes and lengths from its files; its cost is unknown."""
    assert take() == 3

    first, second, third = (runs_of(old)[row] for row in (1, 2, 3))
    assert {run["kind"] for run in (first, second, third)} == {"import"}
    assert [run["status"] for run in (first, second, third)] == ["completed", "completed", "unknown"]
    assert (first["started_at"], first["ended_at"]) == (CREATED, CREATED + timedelta(seconds=90))
    assert [run["duration_us"] for run in (first, second, third)] == [77 * 10**6, 90 * 10**6, None]
    assert [run["candidates"] for run in (first, second, third)] == [10, 20, 30]
    assert (first["n_documents"], first["resume_bytes"], first["resume_characters"]) == (2, 12, 4)
    assert (first["resume_characters_min"], first["resume_characters_max"]) == (1, 3)
    assert second["resume_bytes"] is None
    assert not any(run["cost_complete"] for run in (first, second, third))


def test_the_hosts_rows_show_what_can_be_derived(old: Host, take: Take) -> None:
    """Cost, calls and scores, which nobody measured, stay NULL."""
    take()

    row = old.row("analyses", id=1)
    assert (row["status"], row["total_resume_file_size_bytes"]) == ("completed", 12)
    assert (row["avg_resume_character_count"], row["min_resume_character_count"]) == (2, 1)
    unknown = ("api_calls_made", "total_api_cost", "cost_per_candidate", "candidates_above_70_percent")
    assert {row[column] for column in (*unknown, "avg_overall_score", "error_count")} == {None}
    files = {row["file_name"]: row for row in old.rows("candidate_files")}
    assert files["a.pdf"]["resume_character_count"] == 3
    assert files["a.pdf"]["resume_file_size_bytes"] == 5
    assert [row["resume_file_type"] for row in files.values()] == ["pdf", "docx"]


def test_totals_of_users_include_imported_analyses(old: Host, take: Take) -> None:
    """Jobs and candidates from before telemetry count, too."""
    take()

    row = old.row("users", id=1)
    assert (row["total_jobs_run"], row["total_candidates_analyzed"]) == (2, 30)
    assert (row["largest_batch_processed"], row["last_active_date"]) == (20, CREATED)
    assert old.row("users", id=2)["total_jobs_run"] == 1


def test_importing_again_changes_nothing(old: Host, take: Take) -> None:
    """What has been imported already stays as it is."""
    take()
    before = [old.rows(table) for table in ("telemetry_runs", "analyses", "users", "candidate_files")]

    assert take() == 0

    assert [old.rows(table) for table in ("telemetry_runs", "analyses", "users", "candidate_files")] == before


def test_an_interrupted_import_continues(old: Host, take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that were finished stay, and the next import does the rest."""
    monkeypatch.setattr(import_history, "BATCH", 1)
    with History(old.url) as past:
        assert next(past.analyses()) == 1
    assert set(runs_of(old)) == {1}

    assert take() == 2
    assert set(runs_of(old)) == {1, 2, 3}


def test_two_imports_at_once_share_the_work(old: Host) -> None:
    """Every analysis is imported by one of them."""
    history = "from exporters.upkeep.import_history import History"
    code = f"import sys; {history}; list(History(sys.argv[1]).analyses())"
    command = [sys.executable, "-c", code]
    both = [subprocess.Popen([*command, old.url], cwd=Path(__file__).parents[2]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]

    run_import(old.url)
    assert len(old.rows("telemetry_runs")) == 3
    assert old.row("users", id=1)["total_jobs_run"] == 2


def test_analyses_with_a_run_are_not_imported(old: Host, take: Take) -> None:
    """An analysis that telemetry observed is left alone, and so is every one since the first of these."""
    engine = create_engine(old.url)
    start = int(CREATED.replace(tzinfo=UTC).timestamp() + 3600) * SECOND
    run_storage.deliver(engine, Fragment(analysis_id=2, user_id=1, opened_at=start).close())
    old.add_analysis(4, created_at=CREATED + timedelta(hours=2))

    assert take() == 2
    assert {row: run["kind"] for row, run in runs_of(old).items()} == {
        1: "import",
        2: "analysis",
        3: "import",
    }
    engine.dispose()


def test_analyses_of_the_last_day_are_imported_later(old: Host, take: Take) -> None:
    """Their runs may still wait in a spool."""
    now = datetime.now(UTC).replace(tzinfo=None)
    old.execute("UPDATE analyses SET created_at = :now WHERE id = 2", now=now - timedelta(hours=20))

    assert take() == 2
    assert set(runs_of(old)) == {1, 3}


def test_an_analysis_with_a_reused_id_is_imported(old: Host, take: Take) -> None:
    """The run of the deleted row stays as it is, and the new row gets one of its own."""
    take()
    old.execute("DELETE FROM analyses WHERE id = 3")
    old.add_analysis(3, user_id=2, created_at=CREATED + timedelta(days=1))

    assert take() == 1
    assert [run["started_at"] for run in old.rows("telemetry_runs", analysis_ref=3)] in (
        [CREATED, CREATED + timedelta(days=1)],
        [CREATED + timedelta(days=1), CREATED],
    )


def test_a_late_run_adds_to_an_imported_analysis(old: Host, take: Take) -> None:
    """The host's row shows what is spent on it now, and keeps what the import knew."""
    take()
    engine = create_engine(old.url)
    late = Fragment(analysis_id=1, user_id=1, kind="late").calls(call(pico=5 * 10**9)).close()
    run_storage.deliver(engine, late)
    HostRows(engine, KEY).project_analysis(1)

    row = old.row("analyses", id=1)
    assert (row["api_calls_made"], Decimal(str(row["total_api_cost"]))) == (1, Decimal("0.005"))
    assert (row["status"], row["avg_resume_character_count"]) == ("completed", 2)
    assert row["candidates_above_70_percent"] is None
    engine.dispose()


def test_an_import_leaves_no_work_for_the_writer(old: Host, take: Take) -> None:
    """Not even a history of a million analyses keeps the application's processes busy."""
    take()
    engine = create_engine(old.url)
    assert (lagging_analyses(engine), behind.lagging_users(engine)) == ([], [])
    engine.dispose()


@pytest.mark.parametrize("held", ["analyses", "candidate_files"])
def test_locked_rows_are_imported_later(postgres_host: Host, held: str) -> None:
    """Neither the host nor the import waits for the other."""
    postgres_host.add_user()
    for row in (1, 2):
        postgres_host.add_analysis(row)
        postgres_host.add_file(row, "a.pdf")
    statement = {
        "analyses": "UPDATE analyses SET job_title = 'x' WHERE id = 1",
        "candidate_files": "UPDATE candidate_files SET candidate_name = 'x' WHERE analysis_id = 1",
    }
    with postgres_host.holding(statement[held]):
        assert run_import(postgres_host.url) == 1
        assert set(runs_of(postgres_host)) == {2}
    assert run_import(postgres_host.url) == 1
    assert all(row["resume_file_size_bytes"] == 5 for row in postgres_host.rows("candidate_files"))


def test_columns_that_the_host_already_had_are_read_but_not_written(database_url: str) -> None:
    """A host keeps what it measured itself; the length of its job description is imported."""
    create_host(database_url)
    migrate.upgrade(database_url)
    host = Host(database_url)
    before = host.rows("analyses")

    run_import(database_url)

    (run,) = host.rows("telemetry_runs", kind="import", status="completed")
    assert [row["jd_characters"] for row in host.rows("telemetry_runs") if row["analysis_ref"] == 1] == [1234]
    assert run["criteria"] is None, "this host has no such column"
    own_columns = ("jd_character_count", "total_api_cost", "status")
    after = host.rows("analyses")
    assert [[row[name] for name in own_columns] for row in after] == [
        [row[name] for name in own_columns] for row in before
    ]


def command(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "host.py").write_text("import flask\napp = flask.Flask('host')\n")
    command = ("-m", "flask", "--app", "host", "telemetry", "import-history")
    return fresh.run(*command, cwd=folder, env={"TELEMETRY_DATABASE_URL": url})


def test_the_command_exits_1_while_rows_are_locked(postgres_host: Host, tmp_path: Path) -> None:
    """It reports what it imported; when nothing is left, it exits 0."""
    postgres_host.add_user()
    for row in (1, 2):
        postgres_host.add_analysis(row)
    with postgres_host.holding("UPDATE analyses SET job_title = 'x' WHERE id = 1"):
        first = command(postgres_host.url, tmp_path)
    second = command(postgres_host.url, tmp_path)
    third = command(postgres_host.url, tmp_path)

    assert first.stdout.endswith("1 analysis imported, 1 user brought up to date.\n")
    assert (first.returncode, first.stderr) == (
        1,
        "Error: the application has locked 1 more: repeat the command\n",
    )
    assert (second.returncode, third.returncode) == (0, 0)
    assert third.stdout == "0 analyses imported, 0 users brought up to date.\n"


def test_the_command_without_tables_names_the_upgrade_command(sqlite_url: str, tmp_path: Path) -> None:
    """One line says what is wrong and what to do."""
    sa.create_engine(sqlite_url).connect().close()
    done = command(sqlite_url, tmp_path)
    assert done.returncode == 1
    wrong, way_out = "no such table: telemetry_added_objects", "run flask telemetry db upgrade"
    assert done.stderr == f"Error: the database cannot be used: {wrong}; {way_out}\n"
