"""The daily check writes one row a day with what is known of that day, however often it runs."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from exporters.sql.database.days import Day
from exporters.sql.database.engine import create_engine
from exporters.sql.storage import runs as run_storage
from exporters.upkeep.health_day import Interval, peak
from exporters.upkeep.health_log import HealthCheck
from telemetry.cli.group import cli
from telemetry.settings import Settings
from tests import fresh
from tests.exporters.makers import SECOND, SOME_HOSTS, Fragment, Host, call, visit

HOSTS = SOME_HOSTS

DAY = date(2026, 11, 10)
NOON = int(datetime(2026, 11, 10, 12, tzinfo=UTC).timestamp()) * SECOND
HOUR = 3600 * SECOND


def deliver(engine: Engine, fragment: Fragment, status: str = "completed", seconds: int = 10) -> None:
    fragment.now += seconds * SECOND
    run_storage.deliver(engine, fragment.close(status))


def scored(**known: Any) -> Fragment:
    """An analysis that has a result."""
    return Fragment(**{"opened_at": NOON, "candidates": 4} | known).documents(visit("a.pdf", score=0.8))


def check(host: Host, first: date = DAY, last: date | None = DAY, **known: Any) -> list[Any]:
    with HealthCheck(Settings(**{"database_url": host.url, "hmac_key": "k"} | known)) as health_check:
        return list(health_check.log(first, last))


def refusal(host: Host, *words: str, zone: str = "UTC") -> str:
    """Call a command with arguments that it refuses; return the last line of its output."""
    environment = {"TELEMETRY_DATABASE_URL": host.url, "TELEMETRY_TIMEZONE": zone}
    done = CliRunner().invoke(cli, list(words), env=environment)
    assert done.exit_code == 2, done.output
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("option", ["--until", "--since"])
def test_days_before_1970_are_refused(sqlite_host: Host, option: str) -> None:
    """A mistyped year is reported, whatever the time zone makes of it."""
    message = f"Error: Invalid value for '{option}': 0001-01-01 is before 1970"
    assert refusal(sqlite_host, "health-check", option, "0001-01-01") == message
    assert refusal(sqlite_host, "export", option, "0001-01-01", zone="Asia/Tokyo") == message


@pytest.mark.parametrize("day", ["2200-01-01", "9999-12-31"])
def test_days_in_the_future_are_not_logged(sqlite_host: Host, day: str) -> None:
    """A period that begins in the future is refused; one that ends there is logged up to today."""
    message = "Error: Invalid value for --since: is in the future"
    assert refusal(sqlite_host, "health-check", "--since", day) == message
    assert sqlite_host.rows("system_health_log") == []

    ahead, environment = "Pacific/Kiritimati", {"TELEMETRY_DATABASE_URL": sqlite_host.url}
    today = str(datetime.now(ZoneInfo(ahead)).date())
    done = CliRunner().invoke(
        cli,
        ["health-check", "--since", today, "--until", day],
        env=environment | {"TELEMETRY_TIMEZONE": ahead},
    )
    assert done.exit_code == 0, done.output
    assert len(sqlite_host.rows("system_health_log")) == 1


def test_a_day_is_logged_with_its_jobs_and_spending(host: Host, engine: Engine) -> None:
    """Jobs count by their end, failed ones without a row included; money and calls are those of all runs."""
    deliver(engine, scored().calls(call(pico=10**12, statuses=("429", "200"))))
    failed = Fragment(opened_at=NOON, candidates=3)
    failed.accumulator.error("ranking", "ValueError")
    deliver(engine, failed, "failed", seconds=20)
    deliver(engine, Fragment(kind="intake", opened_at=NOON).calls(call(pico=5 * 10**11)))
    deliver(engine, scored(synthetic=True).calls(call()))
    deliver(engine, scored(opened_at=NOON + 12 * HOUR))
    check(host)

    row = host.row("system_health_log")
    assert (row["log_date"], row["jobs_completed"], row["jobs_failed"]) in [(DAY, 1, 1), (str(DAY), 1, 1)]
    assert (float(row["avg_processing_time"]), float(row["total_api_spend"])) == (16, 1.5)
    assert (row["rate_limit_incidents"], row["total_api_calls"]) == (1, 2)
    assert (row["total_candidates_processed"], row["peak_concurrent_jobs"]) == (7, 2)
    assert row["error_types"] == '{"ValueError": 1}'


def test_repeating_a_check_updates_its_row(host: Host, engine: Engine) -> None:
    """Without new runs nothing changes; a run that arrived meanwhile is added."""
    deliver(engine, scored())
    check(host)
    before = host.rows("system_health_log")
    check(host)
    assert host.rows("system_health_log") == before

    deliver(engine, scored())
    check(host)
    (row,) = host.rows("system_health_log")
    assert (row["id"], row["jobs_completed"]) == (before[0]["id"], 2)


def test_days_are_those_of_the_configured_time_zone(host: Host, engine: Engine) -> None:
    """A job just after midnight in Berlin counts for the new day, though UTC has the day before."""
    deliver(engine, scored(opened_at=NOON + 11 * HOUR + HOUR // 2))
    assert [day.jobs_completed for day in check(host, DAY, DAY + timedelta(days=1))] == [1, 0]
    berlin = check(host, DAY, DAY + timedelta(days=1), timezone="Europe/Berlin")
    assert [day.jobs_completed for day in berlin] == [0, 1]


def test_a_day_without_jobs_has_a_row(host: Host) -> None:
    """Its counts are 0, and what cannot be computed is NULL."""
    check(host)
    row = host.row("system_health_log")
    assert (row["jobs_completed"], row["avg_processing_time"], row["error_types"]) == (0, None, None)


def test_jobs_that_last_into_the_day_count_for_the_peak(host: Host, engine: Engine) -> None:
    """One began the day before, and one has not ended yet."""
    deliver(engine, scored(opened_at=NOON - 20 * HOUR), seconds=19 * 3600)
    run_storage.deliver(engine, scored(opened_at=NOON - 11 * HOUR).snapshot())
    deliver(engine, scored(opened_at=NOON - 40 * HOUR), seconds=60)

    (day,) = check(host)
    assert (day.peak_concurrent_jobs, day.jobs_completed) == (2, 0)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10) | st.none()), max_size=12))
def test_the_peak_is_the_largest_number_at_any_moment(jobs: list[tuple[int, int | None]]) -> None:
    """It equals the maximum of counts taken moment by moment."""
    zero = datetime(2026, 11, 10)

    def at(minutes: float) -> datetime:
        return zero + timedelta(minutes=minutes)

    intervals: list[Interval] = [
        (at(began), None if took is None else at(began + took)) for began, took in jobs
    ]
    moments = [at(half / 2 + 0.25) for half in range(20, 50)]
    counts = [sum(b <= moment and (e is None or moment < e) for b, e in intervals) for moment in moments]
    assert peak(intervals, at(10), at(25)) == max(counts)


def test_the_check_tidies_up(host: Host, engine: Engine) -> None:
    """It interrupts runs of dead processes, updates the host's rows, and marks runs of deleted rows."""
    host.add_user()
    for row in (1, 2):
        host.add_analysis(row)
    run_storage.deliver(engine, scored(analysis_id=1, user_id=1).snapshot())
    run_storage.deliver(engine, scored(analysis_id=2, user_id=1).close())
    host.execute(
        "UPDATE telemetry_fragments SET seen_at = :then WHERE closed_at IS NULL", then=datetime(2026, 1, 1)
    )
    with HealthCheck(Settings(database_url=host.url, hmac_key="k")) as health_check:
        first = health_check.tidy()
        host.execute("DELETE FROM analyses WHERE id = 2")
        second = health_check.tidy()

    assert (first.interrupted, first.shown, first.swept.runs) == (1, 3, 0)
    assert [row["status"] for row in host.rows("analyses")] == ["interrupted"]
    assert (second.interrupted, second.shown, second.swept.runs) == (0, 0, 1)


def flask(url: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "host.py").write_text("import flask\napp = flask.Flask('host')\napp.secret_key = 's'\n")
    command = ("-m", "flask", "--app", "host", "telemetry", "health-check", *options)
    return fresh.run(
        *command,
        cwd=folder,
        env={"TELEMETRY_DATABASE_URL": url, "TELEMETRY_SPOOL_DIR": str(folder / "spool")},
    )


def test_the_command_checks_yesterday_and_today_by_default(postgres_host: Host, tmp_path: Path) -> None:
    """A database that cannot be used is one line and exit 1."""
    engine = create_engine(postgres_host.url)
    deliver(engine, scored())
    engine.dispose()
    plain = flask(postgres_host.url, tmp_path)
    dated = flask(postgres_host.url, tmp_path, "--since", "2026-11-10", "--until", "2026-11-11")
    both = flask(postgres_host.url, tmp_path, "--days", "1", "--since", "2026-11-10")
    broken = flask("postgresql://nobody@127.0.0.1:1/none", tmp_path)

    assert (plain.returncode, dated.returncode, both.returncode, broken.returncode) == (0, 0, 2, 1)
    today = Day.today(ZoneInfo("UTC")).date
    assert {row["log_date"] for row in postgres_host.rows("system_health_log")} == {
        DAY,
        today,
        today - timedelta(days=1),
    }
    assert "2026-11-10          1       0        0    11.0" in dated.stdout
    (line,) = broken.stderr.splitlines()
    assert line.startswith("Error: the database cannot be used: connection")


def test_json_has_the_days_and_what_was_tidied_up(sqlite_host: Host) -> None:
    """The days are those that were written to the log."""
    engine = create_engine(sqlite_host.url)
    deliver(engine, scored())
    engine.dispose()
    words = ["health-check", "--days", "1", "--until", str(DAY + timedelta(days=1)), "--json"]
    done = CliRunner().invoke(cli, words, env={"TELEMETRY_DATABASE_URL": sqlite_host.url})

    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    (day,) = shown.pop("days")
    assert (day["date"], day["jobs_completed"], day["cost_pico"]) == (str(DAY), 1, 0)
    assert (day["avg_processing_time"], day["error_types"]) == (11.0, {})
    assert shown == {
        "interrupted": 0,
        "shown": 0,
        "abandoned": 0,
        "swept": {"runs": 0, "warnings": 0},
        "archived": [],
    }
    assert [row["log_date"] for row in sqlite_host.rows("system_health_log")] == [DAY]


def test_host_rows_of_another_database_are_not_updated(sqlite_host: Host) -> None:
    """Only processes of the application that owns the database have the key for its rows."""
    sqlite_host.add_user()
    sqlite_host.add_analysis()
    engine = create_engine(sqlite_host.url)
    run_storage.deliver(engine, scored(analysis_id=1, user_id=1).close())
    engine.dispose()
    words = ["health-check", "--json", "--database-url", sqlite_host.url]

    def shown(own: str) -> object:
        environment = {"TELEMETRY_DATABASE_URL": own, "TELEMETRY_HMAC_KEY": "k"}
        return json.loads(CliRunner().invoke(cli, words, env=environment).stdout)["shown"]

    assert (shown("sqlite:///another.sqlite"), shown(sqlite_host.url)) == (0, 2)
