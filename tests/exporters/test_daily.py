"""The daily check without cron: one process does it after midnight, and the host never waits for it."""

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
from tests import fresh
from tests.exporters.makers import Host
from tests.exporters.test_insights import Past
from tests.postgres import TemporaryPostgres
from tests.receivers import Webhook
from tests.waiting import until

HOSTS = ("sqlite", "psycopg2", "newest", "pgbouncer")
# One process at a time at a time: locks are held differently by each, and by no session behind a pooler.
EVERY_HOST = True

DAY = date(2026, 11, 24)
AFTER = datetime(2026, 11, 25, 0, 40, tzinfo=UTC)
"""A time at which the day is over and the check of it is due in every process."""


class Clock:
    """A clock that moves only by `forward`."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **delta: float) -> None:
        self.now += timedelta(**delta)


class Process:
    """One process with its daily check."""

    def __init__(self, url: str, now: datetime = AFTER, **settings: Any) -> None:
        self.clock = Clock(now)
        self.nudges = 0
        self.settings = Settings(database_url=url, hmac_key="k", daily_check=True, **settings)
        self.check = DailyCheck(self.settings, self._nudged, self.clock)

    def _nudged(self) -> None:
        self.nudges += 1

    def wait(self) -> None:
        """Move the clock to the moment at which the check is due."""
        self.clock.forward(seconds=self.check.pause())

    def look(self, is_busy: bool = False) -> None:
        """Call the check as the writer does, and wait for the thread that it starts."""
        self.check.look(is_busy)
        for thread in threading.enumerate():
            if thread.name == "telemetry-daily-check":
                thread.join(20)


def days(host: Host) -> list[str]:
    return [str(row["log_date"])[:10] for row in host.rows("system_health_log")]


CHECK_SECONDS = 120
"""How long a check lasts that is waited for."""


class Tidying:
    """Blocks every check that has begun, until `may_go_on` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self.may_go_on = threading.Event()
        tidy = HealthCheck.tidy

        def slow(check: HealthCheck) -> Any:
            self.begun += 1
            assert self.may_go_on.wait(CHECK_SECONDS)
            return tidy(check)

        monkeypatch.setattr(HealthCheck, "tidy", slow)


@pytest.fixture
def tidying(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tidying]:
    blocked = Tidying(monkeypatch)
    yield blocked
    blocked.may_go_on.set()
    until(lambda: not any(thread.name == "telemetry-daily-check" for thread in threading.enumerate()))


# When the check is due


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"]),
)
def test_the_check_is_due_after_midnight_of_the_configured_zone(now: datetime, zone: str) -> None:
    """If that midnight has passed, it is due soon, but never within the first minute."""
    process = Process("sqlite:///nowhere", now, timezone=zone)
    due = now + timedelta(seconds=process.check.pause())
    local = now.astimezone(ZoneInfo(zone))
    midnight = datetime(local.year, local.month, local.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    earliest = max(midnight + timedelta(seconds=300), now + timedelta(seconds=60))
    latest = max(midnight + timedelta(seconds=2100), now + timedelta(seconds=300))
    assert earliest <= due <= latest


def test_every_following_day_is_checked_once(host: Host) -> None:
    """After a check the next is due after the next midnight of the configured zone."""
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


def test_days_that_were_missed_are_checked_later(sqlite_host: Host) -> None:
    """At most a week of them; the first check of all is of the day before only."""
    process = Process(sqlite_host.url)
    assert process.check.check(DAY)
    assert process.check.check(DAY + timedelta(days=3))
    assert days(sqlite_host) == ["2026-11-24", "2026-11-25", "2026-11-26", "2026-11-27"]
    assert process.check.check(DAY + timedelta(days=30))
    assert days(sqlite_host)[4:] == [f"2026-12-{day}" for day in range(18, 25)]


def test_a_busy_process_postpones_the_check(sqlite_host: Host) -> None:
    """It does so by a minute each time, for two hours at most."""
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


# One process at a time


def test_a_check_that_is_claimed_is_not_begun_again(host: Host, tidying: Tidying) -> None:
    """A second process finds the claim, and later that the check is done."""
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


def test_a_check_whose_process_dies_is_done_by_another(host: Host) -> None:
    """On PostgreSQL at once, on SQLite when the claim of the dead process has expired."""
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


def test_one_of_several_real_processes_checks_and_notifies(host: Host, tmp_path: Path) -> None:
    """None of them needs a run for it; what is severe is sent once."""
    yesterday = datetime.now(UTC).replace(tzinfo=None, hour=12) - timedelta(days=1)
    Past(host).add(3, yesterday, status="failed").findings()
    with Webhook() as hook:
        command = ("-c", PIPELINE, host.url, str(tmp_path), f"json://{hook.place}")
        running = [fresh.talk(*command) for _ in range(3)]
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


# Failures


@pytest.fixture(scope="module")
def fragile() -> Iterator[TemporaryPostgres]:
    """A server that these tests stop and start."""
    with TemporaryPostgres() as server:
        yield server


def test_a_check_is_retried_until_the_database_is_back(
    fragile: TemporaryPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    """The pauses grow; one warning is logged at the first failure."""
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


def test_a_check_that_fails_halfway_is_repeated(
    fragile: TemporaryPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is recorded as done only when all of it is done."""
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


def test_a_check_is_not_done_until_its_findings_are_sent(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """What could not be sent is sent later, and the log shows no secret of the address."""
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


# Effects on the process


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
    """It wakes up for the check of the day, and not again before the next."""
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


def test_deliveries_do_not_wait_for_the_check(
    host: Host, start: Callable[[str], Any], at_once: None, tidying: Tidying
) -> None:
    """Neither does the end of the process."""
    with start(host.url) as pipeline:
        until(lambda: tidying.begun == 1)
        began = time.monotonic()
        with telemetry.run("intake"):
            pass
        until(lambda: [row["status"] for row in host.rows("telemetry_runs")] == ["completed"])
        assert pipeline.shutdown()
        assert time.monotonic() - began < CHECK_SECONDS


def test_a_process_that_ends_leaves_its_check_to_another(host: Host, tmp_path: Path) -> None:
    """It does not wait for the check to finish, which is not recorded as done."""
    code = textwrap.dedent(PIPELINE).replace("time.sleep(0.5)", f"time.sleep({CHECK_SECONDS})")
    command = [sys.executable, "-c", code, host.url, str(tmp_path), "json://127.0.0.1:1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "begun\n"
        began = time.monotonic()
        process.communicate("end\n")
        assert time.monotonic() - began < CHECK_SECONDS
    assert process.returncode == 0
    assert not done(host)


def test_nothing_is_checked_without_the_setting(sqlite_host: Host, tmp_path: Path, at_once: None) -> None:
    """The check is off by default."""
    with recording(Settings(database_url=sqlite_host.url, spool_dir=tmp_path, hmac_key="k")):
        with telemetry.run("intake"):
            pass
        time.sleep(0.5)
    assert days(sqlite_host) == []
