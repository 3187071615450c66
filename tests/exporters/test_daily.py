"""The daily check without cron: one process does it after midnight, and nothing of the host waits for it."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import telemetry
from exporters.sql.database import claims
from exporters.sql.schema import migrate
from exporters.upkeep import daily_check
from exporters.upkeep.daily_check import DailyCheck
from exporters.upkeep.health_log import HealthCheck
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.exporters.makers import Host, until
from tests.exporters.test_insights import Past
from tests.postgres import TemporaryPostgres
from tests.receivers import Webhook

HOSTS = ("sqlite", "psycopg2", "newest", "pgbouncer")
# One process at a time: locks are held differently by each, and by no session behind a pooler.
EVERY_HOST = True

DAY = date(2026, 11, 24)
AFTER = datetime(2026, 11, 25, 0, 40, tzinfo=UTC)
"""When the day is over, and every process has looked."""


class Clock:
    """A clock that only moves when told to."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **delta: float) -> None:
        self.now += timedelta(**delta)


class Process:
    """What one process has of the daily check."""

    def __init__(self, url: str, now: datetime = AFTER, **settings: Any) -> None:
        self.clock = Clock(now)
        self.nudges = 0
        self.settings = Settings(database_url=url, hmac_key="k", daily_check=True, **settings)
        self.check = DailyCheck(self.settings, self._nudged, self.clock)

    def _nudged(self) -> None:
        self.nudges += 1

    def wait(self) -> None:
        """Until it is due."""
        self.clock.forward(seconds=self.check.pause())

    def look(self, is_busy: bool = False) -> None:
        """Look as the writer does, and wait for the end of what that began."""
        self.check.look(is_busy)
        for thread in threading.enumerate():
            if thread.name == "telemetry-daily-check":
                thread.join(20)


def days(host: Host) -> list[str]:
    return [str(row["log_date"])[:10] for row in host.rows("system_health_log")]


class Tidying:
    """Stands in the way of every check that has begun, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self.may_go_on = threading.Event()
        tidy = HealthCheck.tidy

        def slow(check: HealthCheck) -> Any:
            self.begun += 1
            assert self.may_go_on.wait(20)
            return tidy(check)

        monkeypatch.setattr(HealthCheck, "tidy", slow)


@pytest.fixture
def tidying(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tidying]:
    found = Tidying(monkeypatch)
    yield found
    found.may_go_on.set()
    until(lambda: not any(thread.name == "telemetry-daily-check" for thread in threading.enumerate()))


# When


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"]),
)
def test_it_is_due_after_midnight_where_the_setting_says(now: datetime, zone: str) -> None:
    """Today's midnight is long ago for most: then soon, but never within the first minute."""
    process = Process("sqlite:///nowhere", now, timezone=zone)
    due = now + timedelta(seconds=process.check.pause())
    local = now.astimezone(ZoneInfo(zone))
    midnight = datetime(local.year, local.month, local.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    earliest = max(midnight + timedelta(seconds=300), now + timedelta(seconds=60))
    latest = max(midnight + timedelta(seconds=2100), now + timedelta(seconds=300))
    assert earliest <= due <= latest


def test_the_days_after(host: Host) -> None:
    """Each day once: it is due again after the next midnight, of the zone that is set."""
    process = Process(host.url, AFTER - timedelta(hours=1), timezone="Europe/Berlin")
    process.look()
    assert days(host) == []
    for expected in (["2026-11-24"], ["2026-11-24", "2026-11-25"]):
        process.wait()
        process.look()
        assert days(host) == expected
        in_berlin = (process.clock() + timedelta(seconds=process.check.pause())).astimezone(
            ZoneInfo("Europe/Berlin")
        )
        assert (in_berlin.date() - date.fromisoformat(expected[-1])).days == 2
        assert (in_berlin.hour, process.nudges) == (0, 0)


def test_what_nobody_checked_is_made_up_for(sqlite_host: Host) -> None:
    """Up to a week, and the first time only the day before."""
    process = Process(sqlite_host.url)
    assert process.check.check(DAY)
    assert process.check.check(DAY + timedelta(days=3))
    assert days(sqlite_host) == ["2026-11-24", "2026-11-25", "2026-11-26", "2026-11-27"]
    assert process.check.check(DAY + timedelta(days=30))
    assert days(sqlite_host)[4:] == [f"2026-12-{day}" for day in range(18, 25)]


def test_a_busy_process_puts_it_off(sqlite_host: Host) -> None:
    """By a minute each time, for two hours at most."""
    process = Process(sqlite_host.url)
    process.wait()
    first, looks = process.clock(), 1
    process.look(is_busy=True)
    while not days(sqlite_host):
        assert process.check.pause() == 60
        process.wait()
        process.look(is_busy=True)
        looks += 1
    assert (looks, process.clock() - first) == (121, timedelta(hours=2))


# One process


def test_two_at_once(host: Host, tidying: Tidying) -> None:
    """The second finds it taken, and later done; nothing is done twice."""
    first, second = Process(host.url), Process(host.url)
    begun = threading.Thread(target=first.check.check, args=(DAY,))
    begun.start()
    until(lambda: tidying.begun == 1)
    assert second.check.check(DAY) is False
    second.wait()
    second.look()
    assert (second.nudges, 600 <= second.check.pause() <= 900) == (1, True)

    tidying.may_go_on.set()
    begun.join()
    assert second.check.check(DAY) is True
    second.wait()
    second.look()
    assert second.check.pause() > 3600
    assert (tidying.begun, days(host)) == (1, ["2026-11-24"])


CHECKING = """
import sys, time
from exporters.upkeep.daily_check import DailyCheck
from exporters.upkeep.health_log import HealthCheck
from telemetry.settings import Settings
import datetime as dt
def tidy(check):
    print("begun", flush=True)
    time.sleep(60)
HealthCheck.tidy = tidy
DailyCheck(Settings(database_url=sys.argv[1], hmac_key="k"), print).check(dt.date(2026, 11, 24))
"""


def test_a_process_that_dies_in_the_middle(host: Host) -> None:
    """Another takes over: on PostgreSQL at once, on SQLite when the lease of the dead one has run out."""
    command = [sys.executable, "-c", CHECKING, host.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as dying:
        assert dying.stdout and dying.stdout.readline() == "begun\n"
        other = Process(host.url).check
        assert other.check(DAY) is False
        dying.kill()
    if not host.is_postgresql:
        assert other.check(DAY) is False
        then = datetime.now(UTC).replace(tzinfo=None) - claims.LEASE - timedelta(seconds=5)
        host.execute("UPDATE telemetry_daily_tasks SET claimed_at = :then", then=then)
    until(lambda: other.check(DAY))
    assert days(host) == ["2026-11-24"]


PIPELINE = """
import sys, time
from pathlib import Path
from exporters.upkeep import daily_check
from exporters.upkeep.health_log import HealthCheck
from telemetry.settings import Settings
from telemetry.testing import recording
daily_check.AFTER_MIDNIGHT = daily_check.AFTER_START = (0, 0.1)
daily_check.TAKEN_SECONDS = (0.1, 0.2)
tidy = HealthCheck.tidy
def counted(check):
    print("begun", flush=True)
    time.sleep(0.5)
    return tidy(check)
HealthCheck.tidy = counted
given = dict(database_url=sys.argv[1], spool_dir=Path(sys.argv[2]), notify=(sys.argv[3],), hmac_key="k")
with recording(Settings(daily_check=True, **given)):
    sys.stdin.readline()
"""


def test_many_processes(host: Host, tmp_path: Path) -> None:
    """Real ones, without a run: one of them checks, and tells what is severe."""
    yesterday = datetime.now(UTC).replace(tzinfo=None, hour=12) - timedelta(days=1)
    Past(host).add(3, yesterday, status="failed").findings()
    with Webhook() as hook:
        command = [sys.executable, "-c", PIPELINE, host.url, str(tmp_path), f"json://{hook.place}"]
        running = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        until(lambda: done(host), 30)
        time.sleep(0.5)
        printed = [process.communicate("end\n")[0] for process in running]

    assert [process.returncode for process in running] == [0, 0, 0]
    assert sorted(printed) == ["", "", "begun\n"]
    assert days(host) == [str(yesterday.date())]
    assert [body["title"] for body in hook.bodies] == ["Most jobs fail"]


def done(host: Host) -> bool:
    return any(
        row["task"] == daily_check.TASK and row["done_at"] for row in host.rows("telemetry_daily_tasks")
    )


# What goes wrong


@pytest.fixture(scope="module")
def fragile() -> Iterator[TemporaryPostgres]:
    """A server that these tests stop and start."""
    with TemporaryPostgres() as server:
        yield server


def test_a_database_that_is_away(fragile: TemporaryPostgres, caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again, less and less often, until the database is back."""
    url = fragile.create_database()
    migrate.upgrade(url, with_base_tables=True)
    process = Process(url)
    fragile.stop()
    try:
        pauses = []
        for _ in range(8):
            process.wait()
            process.look()
            pauses.append(process.check.pause())
    finally:
        fragile.start()
    assert 30 <= pauses[0] <= 60 and 1800 <= pauses[-1] <= 3600 and process.nudges == 8
    first = next(record for record in caplog.records if record.name == "telemetry")
    assert first.levelno == logging.WARNING and "\n" not in first.getMessage()

    process.wait()
    process.look()
    assert days(Host(url)) == ["2026-11-24"]
    assert process.check.pause() > 3600


def test_a_database_that_fails_in_the_middle(
    fragile: TemporaryPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun is begun again, and remembered only when all of it is done."""
    url = fragile.create_database()
    migrate.upgrade(url, with_base_tables=True)
    tidy = HealthCheck.tidy
    monkeypatch.setattr(HealthCheck, "tidy", lambda check: fragile.stop())
    process = Process(url)
    try:
        process.wait()
        process.look()
        assert process.check.pause() <= 60
    finally:
        fragile.start()
    assert days(Host(url)) == [] and not done(Host(url))

    monkeypatch.setattr(HealthCheck, "tidy", tidy)
    process.wait()
    process.look()
    assert done(Host(url)) and days(Host(url)) == ["2026-11-24"]


def test_somebody_who_cannot_be_told(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """The day is not done before: what was not sent is sent later, without a secret in the log."""
    Past(host).add(3, datetime(2026, 11, 24, 12), status="failed").findings()
    with Webhook() as hook:
        hook.status = 500
        process = Process(host.url, notify=(f"json://user:s3cret@{hook.place}",))
        process.wait()
        process.look()
        assert days(host) == ["2026-11-24"] and not done(host)
        (line,) = [record.getMessage() for record in caplog.records if record.name == "telemetry"]
        assert "TELEMETRY_NOTIFY: address 1" in line and "s3cret" not in line

        hook.status = 200
        process.wait()
        process.look()
        assert len(hook.bodies) == 1 and done(host)


# The process


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily_check, "AFTER_MIDNIGHT", (0.0, 0.0))
    monkeypatch.setattr(daily_check, "AFTER_START", (0.3, 0.3))


@pytest.fixture
def start(tmp_path: Path) -> Callable[[str], Any]:
    def started(url: str) -> Any:
        spool = tmp_path / "spool"
        return recording(
            Settings(
                database_url=url, spool_dir=spool, hmac_key="k", daily_check=True, checkpoint_seconds=0.1
            )
        )

    return started


def test_an_idle_process_wakes_up_once(
    sqlite_host: Host, start: Callable[[str], Any], at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the day, then not before the next."""
    with start(sqlite_host.url) as pipeline:
        ticks: list[float] = []
        tick = pipeline.writer._tick

        def counted() -> None:
            ticks.append(time.monotonic())
            tick()

        monkeypatch.setattr(pipeline.writer, "_tick", counted)
        time.sleep(0.1)
        before = len(ticks)
        until(lambda: done(sqlite_host))
        time.sleep(1)
        assert len(ticks) - before == 1


def test_deliveries_do_not_wait_for_it(
    host: Host, start: Callable[[str], Any], at_once: None, tidying: Tidying
) -> None:
    """Nor does the end of the process."""
    with start(host.url) as pipeline:
        until(lambda: tidying.begun == 1)
        began = time.monotonic()
        with telemetry.run("intake"):
            pass
        until(lambda: [row["status"] for row in host.rows("telemetry_runs")] == ["completed"])
        assert pipeline.shutdown()
        assert time.monotonic() - began < 3


def test_a_process_ends_in_mid_check(host: Host, tmp_path: Path) -> None:
    """It leaves the check to another."""
    code = textwrap.dedent(PIPELINE).replace("time.sleep(0.5)", "time.sleep(60)")
    command = [sys.executable, "-c", code, host.url, str(tmp_path), "json://127.0.0.1:1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "begun\n"
        began = time.monotonic()
        process.communicate("end\n")
        assert time.monotonic() - began < 5
    assert process.returncode == 0
    assert not done(host)


def test_without_the_setting(sqlite_host: Host, tmp_path: Path, at_once: None) -> None:
    """Nothing runs."""
    with recording(Settings(database_url=sqlite_host.url, spool_dir=tmp_path, hmac_key="k")):
        with telemetry.run("intake"):
            pass
        time.sleep(0.5)
    assert days(sqlite_host) == []
