"""Rows that lag behind: how many, since when and why, read from the database alone."""

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
from tests.exporters.test_spool import leave_behind, moved

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
    (found,) = [lag for lag in lags(host) if lag.table == table]
    return found


def refuse(host: Host, table: str) -> None:
    """Let the database refuse every update of a table, as a trigger of the application's own would."""
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
    """A row that is there, and a run of it that it does not show yet."""
    host.add_user()
    host.add_analysis()
    host.add_file(1, "a.pdf")
    deliver(engine)
    return host


def test_nothing_lags(used: Host, engine: Engine) -> None:
    """Neither what has just arrived, nor what is shown."""
    assert lags(used) == []
    show(engine)
    used.execute(LONG_AGO)
    assert lags(used) == []


def test_nothing_stands_in_its_way(used: Host) -> None:
    """Nobody was there to do it; and looking does not do it either."""
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
def test_the_database_refuses(used: Host, engine: Engine, table: str) -> None:
    """The driver's words; validate names the rows, and the daily check goes on."""
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


def test_recover_does_not_say_that_all_is_well(
    used: Host, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be shown is told, with the reason."""
    refuse(used, "analyses")
    monkeypatch.setenv("TELEMETRY_SPOOL_DIR", str(tmp_path))
    monkeypatch.setattr("telemetry.cli.spool.RECOVERY_SECONDS", 0.5)

    done = command(used, "spool", "recover")

    assert done.exit_code == 1
    assert "1 row of analyses since" in done.output
    assert "rows are sealed" in done.output


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_recover_that_runs_out_of_time(
    used: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """It says what is left, snapshots or rows, until all of it is done."""
    settings = Settings(database_url=used.url, hmac_key=KEY.decode(), spool_dir=tmp_path)
    left = [Fragment(analysis_id=1, user_id=1).calls(call()).close() for _ in range(300)]
    moved(settings, leave_behind(tmp_path, *left))
    monkeypatch.setenv("TELEMETRY_SPOOL_DIR", str(tmp_path))
    monkeypatch.setattr("telemetry.cli.spool.RECOVERY_SECONDS", seconds)
    late = command(used, "spool", "recover")
    while len(used.rows("telemetry_runs")) < len(left):
        monkeypatch.setattr("telemetry.cli.spool.RECOVERY_SECONDS", 2)
        command(used, "spool", "recover")
    monkeypatch.setattr("telemetry.cli.spool.RECOVERY_SECONDS", 30)
    done = command(used, "spool", "recover")

    assert (late.exit_code, "Everything is delivered" in late.output) == (1, False), late.output
    assert "are left" in late.output
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "Everything is delivered.")
    assert used.row("users")["total_jobs_run"] is not None


def test_recover_that_has_no_time_for_rows(
    used: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All snapshots are delivered, and the rows that show them wait: they are named."""
    monkeypatch.setenv("TELEMETRY_SPOOL_DIR", str(tmp_path))
    monkeypatch.setattr("telemetry.cli.spool.RECOVERY_SECONDS", 0.5)
    monkeypatch.setattr("exporters.sql.writer.host_rows.WaitingRows.project_due", lambda *_: None)

    late = command(used, "spool", "recover")

    assert late.exit_code == 1
    assert "1 row of analyses since" in late.output
    assert "nothing stands in their way" in late.output


def test_a_row_that_is_not_there(used: Host, engine: Engine) -> None:
    """It may still come: that is said, and is no fault."""
    show(engine)
    deliver(engine, 7)
    used.execute(LONG_AGO)

    lag = only(used, "analyses")

    assert (lag.ids, lag.reason, lag.is_wrong) == ((7,), "no such row is there (yet)", False)


@pytest.mark.parametrize("host", ["psycopg2"], indirect=True)
def test_a_row_that_is_held(used: Host) -> None:
    """By a session that stays open."""
    used.execute(LONG_AGO)

    with used.holding("UPDATE analyses SET num_candidates = 3"):
        assert only(used, "analyses").reason == "another session holds them"


def test_runs_of_somebody_else(used: Host, engine: Engine) -> None:
    """The row is another user's, or younger than the run: it never shows the run."""
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


def test_files_that_are_not_stored(used: Host, engine: Engine) -> None:
    """They come at the very end, or never."""
    used.execute("DELETE FROM candidate_files")
    show(engine)
    minutes_ago = MINUTES_AGO[used.engine.dialect.name]
    used.execute(f"UPDATE telemetry_runs SET ended_at = {minutes_ago}")

    lag = only(used, "analyses without their candidate_files")

    assert (lag.ids, lag.reason) == ((1,), "no file of these analyses is stored")


def test_many(used: Host, engine: Engine) -> None:
    """A few are named, and all are counted."""
    refuse(used, "analyses")
    for row in range(2, 30):
        used.add_analysis(row)
        deliver(engine, row)
    used.execute(LONG_AGO)

    tried, rest = [lag for lag in lags(used) if lag.table == "analyses"]

    assert (tried.count, rest.count, tried.ids) == (20, 9, (1, 2, 3, 4, 5))
    assert "20 rows of analyses since 2026-10-01 10:00 UTC (1, 2, 3, 4, 5, …): " in str(tried)


def test_validate_and_the_tables(used: Host) -> None:
    """One that is needed, and one of ours, are missing: they are named, and the rest is looked at."""
    used.execute("ALTER TABLE analyses RENAME COLUMN user_id TO owner_id")
    used.execute("ALTER TABLE users DROP COLUMN total_api_spend")

    done = command(used, "validate")

    assert done.exit_code == 1
    assert "host_tables: 2" in done.output
    assert "analyses.user_id is not there: add it" in done.output
    assert "users.total_api_spend is not there, though telemetry adds it: flask" in done.output


def test_validate_without_a_table(used: Host) -> None:
    """It says so, in place of an error of the database's."""
    used.execute("DROP TABLE candidate_files")
    used.execute(f"DROP TABLE analyses{' CASCADE' if used.is_postgresql else ''}")

    done = command(used, "validate")

    assert done.exit_code == 1
    assert "the database lacks analyses" in done.output
