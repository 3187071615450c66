"""Lagging rows: how many, since when and why, as read from the database alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.engine import Engine

from exporters.sql.projection.host_rows import HostRows
from exporters.sql.projection.lagging import Lag, lagging
from exporters.sql.storage import runs as run_storage
from telemetry.cli.group import cli
from telemetry.settings import Settings
from tests.exporters.makers import CREATED, KEY, Fragment, Host, call, visit
from tests.exporters.test_spool import leave_behind, move_to_spool_of

HOSTS = ("sqlite", "psycopg2")

LONG_AGO = "UPDATE telemetry_runs SET seen_at = '2026-10-01 10:00:00'"

MINUTES_AGO = {
    "postgresql": "timezone('utc', now()) - interval '5 minutes'",
    "sqlite": "datetime('now', '-5 minutes')",
}


def deliver(engine: Engine, analysis_id: int = 1, user_id: int = 1) -> None:
    run = Fragment(analysis_id=analysis_id, user_id=user_id, candidates=1).calls(call())
    run_storage.deliver(engine, run.documents(visit("a.pdf", size=5, score=0.9)).close())


def show(engine: Engine) -> None:
    rows = HostRows(engine, KEY)
    rows.project_analysis(1)
    rows.project_user(1)


def lags(host: Host) -> list[Lag]:
    return lagging(host.url, KEY.decode())


def only(host: Host, table: str) -> Lag:
    (selected,) = [lag for lag in lags(host) if lag.table == table]
    return selected


def refuse(host: Host, table: str) -> None:
    """Make the database refuse every update of a table, as a trigger of the application might."""
    if host.is_postgresql:
        host.execute(
            "CREATE FUNCTION refuse() RETURNS trigger AS"
            " $$ BEGIN RAISE EXCEPTION 'rows are sealed'; END $$ LANGUAGE plpgsql"
        )
        host.execute(f"CREATE TRIGGER sealed BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()")
    else:
        abort = "SELECT RAISE(ABORT, 'rows are sealed')"
        host.execute(f"CREATE TRIGGER sealed BEFORE UPDATE ON {table} BEGIN {abort}; END")


def command(host: Host, *arguments: str) -> Result:
    environment = {"TELEMETRY_DATABASE_URL": host.url, "TELEMETRY_HMAC_KEY": KEY.decode()}
    return CliRunner().invoke(cli, arguments, env=environment)


@pytest.fixture
def used(host: Host, engine: Engine) -> Host:
    """An analysis, and a run of it that its row does not show yet."""
    host.add_user()
    host.add_analysis()
    host.add_file(1, "a.pdf")
    deliver(engine)
    return host


def test_new_and_projected_runs_do_not_lag(used: Host, engine: Engine) -> None:
    """A run that has just arrived has time to be projected."""
    assert lags(used) == []
    show(engine)
    used.execute(LONG_AGO)
    assert lags(used) == []


def test_rows_that_nobody_projected_have_nothing_in_their_way(used: Host) -> None:
    """No process ran that would have projected them; looking does not project them either."""
    used.execute(LONG_AGO)
    before = [used.rows(table) for table in ("analyses", "users", "telemetry_runs", "candidate_files")]

    lag = only(used, "analyses")

    assert (lag.count, lag.ids, lag.is_wrong) == (1, (1,), False)
    assert f"{lag.since}" == "2026-10-01 10:00:00"
    assert lag.reason == "nothing stands in their way"
    assert only(used, "users").reason == "nothing stands in their way"
    after = [used.rows(table) for table in ("analyses", "users", "telemetry_runs", "candidate_files")]
    assert after == before


@pytest.mark.parametrize("table", ["analyses", "candidate_files", "users"])
def test_a_refusal_of_the_database_is_the_reason(used: Host, engine: Engine, table: str) -> None:
    """It is given in the driver's words; `validate` names the rows, and the daily check goes on."""
    refuse(used, table)
    used.execute(LONG_AGO)

    lag = only(used, "users" if table == "users" else "analyses")

    assert (lag.count, lag.is_wrong) == (1, True)
    assert lag.reason.endswith(": rows are sealed")
    validated = command(used, "validate")
    assert validated.exit_code == 1
    name = "users_show_their_runs" if table == "users" else "analyses_show_their_runs"
    assert f"{name}: 1" in validated.output
    assert command(used, "health-check").exit_code == 0


def test_recover_reports_rows_that_cannot_be_written(
    used: Host, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does so with the reason, and exits 1."""
    refuse(used, "analyses")
    monkeypatch.setenv("TELEMETRY_SPOOL_DIR", str(tmp_path))
    monkeypatch.setattr("telemetry.cli.commands.spool.RECOVERY_SECONDS", 0.5)

    done = command(used, "spool", "recover")

    assert done.exit_code == 1
    assert "1 row of analyses since" in done.output
    assert "rows are sealed" in done.output


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_recover_that_runs_out_of_time_reports_what_is_left(
    used: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Snapshots or rows may be left; repeated, it finishes the work."""
    settings = Settings(database_url=used.url, hmac_key=KEY.decode(), spool_dir=tmp_path)
    entries = [Fragment(analysis_id=1, user_id=1).calls(call()).close() for _ in range(300)]
    move_to_spool_of(settings, leave_behind(tmp_path, *entries))
    monkeypatch.setenv("TELEMETRY_SPOOL_DIR", str(tmp_path))
    monkeypatch.setattr("telemetry.cli.commands.spool.RECOVERY_SECONDS", seconds)
    late = command(used, "spool", "recover")
    while len(used.rows("telemetry_runs")) < len(entries):
        monkeypatch.setattr("telemetry.cli.commands.spool.RECOVERY_SECONDS", 2)
        command(used, "spool", "recover")
    monkeypatch.setattr("telemetry.cli.commands.spool.RECOVERY_SECONDS", 30)
    done = command(used, "spool", "recover")

    assert (late.exit_code, "Everything is delivered" in late.output) == (1, False), late.output
    assert "are left" in late.output
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "Everything is delivered.")
    assert used.row("users")["total_jobs_run"] is not None


def test_recover_without_time_for_rows_names_them(
    used: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All snapshots are delivered, but not projected yet."""
    monkeypatch.setenv("TELEMETRY_SPOOL_DIR", str(tmp_path))
    monkeypatch.setattr("telemetry.cli.commands.spool.RECOVERY_SECONDS", 0.5)
    monkeypatch.setattr("exporters.sql.writer.host_rows.WaitingRows.project_due", lambda *_: None)

    late = command(used, "spool", "recover")

    assert late.exit_code == 1
    assert "1 row of analyses since" in late.output
    assert "nothing stands in their way" in late.output


def test_a_missing_row_is_no_fault(used: Host, engine: Engine) -> None:
    """It may still be inserted, as the reason says."""
    show(engine)
    deliver(engine, 7)
    used.execute(LONG_AGO)

    lag = only(used, "analyses")

    assert (lag.ids, lag.reason, lag.is_wrong) == ((7,), "no such row is there (yet)", False)


@pytest.mark.parametrize("host", ["psycopg2"], indirect=True)
def test_a_lock_of_another_session_is_the_reason(used: Host) -> None:
    """The session stays open and keeps the row locked."""
    used.execute(LONG_AGO)

    with used.holding("UPDATE analyses SET num_candidates = 3"):
        assert only(used, "analyses").reason == "another session holds them"


def test_runs_that_contradict_their_row_are_reported(used: Host, engine: Engine) -> None:
    """A row of another user, or one created after the run, never shows the run."""
    used.add_user(2)
    used.add_analysis(2, 2)
    used.add_analysis(3, 1, created_at=CREATED + timedelta(days=9000))
    for row in (2, 3):
        deliver(engine, row)
    rows = HostRows(engine, KEY)
    for row in (1, 2, 3):
        rows.project_analysis(row)
    minutes_ago = MINUTES_AGO[used.engine.dialect.name]
    used.execute(f"UPDATE telemetry_runs SET seen_at = {minutes_ago}")

    assert {lag.ids: lag.reason for lag in lags(used) if lag.table == "analyses"} == {
        (2,): "their user is another than that of the run",
        (3,): "they were created after the run had ended",
    }


def test_analyses_without_stored_files_are_reported(used: Host, engine: Engine) -> None:
    """The application stores files at the very end, or never."""
    used.execute("DELETE FROM candidate_files")
    show(engine)
    minutes_ago = MINUTES_AGO[used.engine.dialect.name]
    used.execute(f"UPDATE telemetry_runs SET ended_at = {minutes_ago}")

    lag = only(used, "analyses without their candidate_files")

    assert (lag.ids, lag.reason) == ((1,), "no file of these analyses is stored")


def test_many_lagging_rows_are_counted_and_a_few_named(used: Host, engine: Engine) -> None:
    """Some are tried for the reason; all are counted."""
    refuse(used, "analyses")
    for row in range(2, 30):
        used.add_analysis(row)
        deliver(engine, row)
    used.execute(LONG_AGO)

    tried, rest = [lag for lag in lags(used) if lag.table == "analyses"]

    assert (tried.count, rest.count, tried.ids) == (20, 9, (1, 2, 3, 4, 5))
    assert "20 rows of analyses since 2026-10-01 10:00 UTC (1, 2, 3, 4, 5, …): " in str(tried)


def test_validate_names_missing_columns_of_the_host(used: Host) -> None:
    """A required one and one that telemetry adds are missing; the rest is validated."""
    used.execute("ALTER TABLE analyses RENAME COLUMN user_id TO owner_id")
    used.execute("ALTER TABLE users DROP COLUMN total_api_spend")

    done = command(used, "validate")

    assert done.exit_code == 1
    assert "host_tables: 2" in done.output
    assert "analyses.user_id is not there: add it" in done.output
    assert "users.total_api_spend is not there, though telemetry adds it: flask" in done.output


def test_validate_names_a_missing_table_of_the_host(used: Host) -> None:
    """It does not print an error of the database."""
    used.execute("DROP TABLE candidate_files")
    used.execute(f"DROP TABLE analyses{' CASCADE' if used.is_postgresql else ''}")

    done = command(used, "validate")

    assert done.exit_code == 1
    assert "the database lacks analyses" in done.output
