"""The daily check: a row a day that says what is known of it, whenever and however often it is asked."""

from __future__ import annotations

import json
import subprocess
import sys
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
    with HealthCheck(Settings(**{"database_url": host.url, "hmac_key": "k"} | known)) as found:
        return list(found.log(first, last))


def refusal(host: Host, *words: str, zone: str = "UTC") -> str:
    """The last line of a command that is called with what it cannot use."""
    environment = {"TELEMETRY_DATABASE_URL": host.url, "TELEMETRY_TIMEZONE": zone}
    done = CliRunner().invoke(cli, list(words), env=environment)
    assert done.exit_code == 2, done.output
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("option", ["--until", "--since"])
def test_days_long_before(sqlite_host: Host, option: str) -> None:
    """A slip of the pen is told, whatever the time zone makes of it."""
    said = f"Error: Invalid value for '{option}': 0001-01-01 is before 1970"
    assert refusal(sqlite_host, "health-check", option, "0001-01-01") == said
    assert refusal(sqlite_host, "export", option, "0001-01-01", zone="Asia/Tokyo") == said


@pytest.mark.parametrize("day", ["2200-01-01", "9999-12-31"])
def test_days_to_come(sqlite_host: Host, day: str) -> None:
    """Nothing is known of them, and nothing is written of them; today is known of."""
    said = "Error: Invalid value for --since: is in the future"
    assert refusal(sqlite_host, "health-check", "--since", day) == said
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


def test_a_day(host: Host, engine: Engine) -> None:
    """Jobs by their end, failed ones without a row included; money and calls of everything that ran."""
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


def test_twice_and_late(host: Host, engine: Engine) -> None:
    """Repeating it changes nothing; what arrives late is in the next time."""
    deliver(engine, scored())
    check(host)
    before = host.rows("system_health_log")
    check(host)
    assert host.rows("system_health_log") == before

    deliver(engine, scored())
    check(host)
    (row,) = host.rows("system_health_log")
    assert (row["id"], row["jobs_completed"]) == (before[0]["id"], 2)


def test_days_of_a_time_zone(host: Host, engine: Engine) -> None:
    """A job just after midnight in Berlin is of that day, though UTC has the day before."""
    deliver(engine, scored(opened_at=NOON + 11 * HOUR + HOUR // 2))
    assert [day.jobs_completed for day in check(host, DAY, DAY + timedelta(days=1))] == [1, 0]
    berlin = check(host, DAY, DAY + timedelta(days=1), timezone="Europe/Berlin")
    assert [day.jobs_completed for day in berlin] == [0, 1]


def test_a_day_on_which_nothing_happened(host: Host) -> None:
    """It has a row that says so."""
    check(host)
    row = host.row("system_health_log")
    assert (row["jobs_completed"], row["avg_processing_time"], row["error_types"]) == (0, None, None)


def test_jobs_that_last_into_the_day_were_under_way(host: Host, engine: Engine) -> None:
    """One that began the day before, and one that has not ended yet."""
    deliver(engine, scored(opened_at=NOON - 20 * HOUR), seconds=19 * 3600)
    run_storage.deliver(engine, scored(opened_at=NOON - 11 * HOUR).snapshot())
    deliver(engine, scored(opened_at=NOON - 40 * HOUR), seconds=60)

    (found,) = check(host)
    assert (found.peak_concurrent_jobs, found.jobs_completed) == (2, 0)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10) | st.none()), max_size=12))
def test_the_peak_is_the_largest_number_at_any_moment(jobs: list[tuple[int, int | None]]) -> None:
    """Counted moment by moment, it is the same."""
    zero = datetime(2026, 11, 10)

    def at(minutes: float) -> datetime:
        return zero + timedelta(minutes=minutes)

    intervals: list[Interval] = [
        (at(began), None if took is None else at(began + took)) for began, took in jobs
    ]
    moments = [at(half / 2 + 0.25) for half in range(20, 50)]
    counts = [sum(b <= moment and (e is None or moment < e) for b, e in intervals) for moment in moments]
    assert peak(intervals, at(10), at(25)) == max(counts)


def test_what_nobody_else_tidies_up(host: Host, engine: Engine) -> None:
    """Runs whose process is gone are closed, the host's rows brought up to date, lost references let go."""
    host.add_user()
    for row in (1, 2):
        host.add_analysis(row)
    run_storage.deliver(engine, scored(analysis_id=1, user_id=1).snapshot())
    run_storage.deliver(engine, scored(analysis_id=2, user_id=1).close())
    host.execute(
        "UPDATE telemetry_fragments SET seen_at = :then WHERE closed_at IS NULL", then=datetime(2026, 1, 1)
    )
    with HealthCheck(Settings(database_url=host.url, hmac_key="k")) as found:
        first = found.tidy()
        host.execute("DELETE FROM analyses WHERE id = 2")
        second = found.tidy()

    assert (first.interrupted, first.shown, first.swept.runs) == (1, 3, 0)
    assert [row["status"] for row in host.rows("analyses")] == ["interrupted"]
    assert (second.interrupted, second.shown, second.swept.runs) == (0, 0, 1)


def flask(url: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "host.py").write_text("import flask\napp = flask.Flask('host')\napp.secret_key = 's'\n")
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "host", "telemetry", "health-check", *options],
        env={"TELEMETRY_DATABASE_URL": url, "TELEMETRY_SPOOL_DIR": str(folder / "spool")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command(postgres_host: Host, tmp_path: Path) -> None:
    """Without options yesterday and today; what is wrong is one line and exit 1."""
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


def test_json(sqlite_host: Host) -> None:
    """The days as they were written, and what was tidied up."""
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


def test_the_key_of_another_database(sqlite_host: Host) -> None:
    """Rows of a database that is not the application's own are left to the processes that have its key."""
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
