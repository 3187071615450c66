"""The daily check where there is no cron: one process of the application does it, soon after midnight.

Each process looks once a day. On PostgreSQL, an advisory lock of a transaction lets one of them check, which
works behind a pooler as well, and is free again when its holder dies; on SQLite, it is a row with a lease.
What is done is remembered, so that the others, and a process that starts later, find it done.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from exporters.findings.notify import notify
from exporters.sql.database import claims
from exporters.sql.database.days import Day
from exporters.sql.database.engine import create_engine, transaction
from telemetry._internal.context import suppressed
from telemetry._internal.guard import guarded
from telemetry._internal.secrets import driver_message
from telemetry.settings import Settings

from .health_log import HealthCheck

TASK: Final = "daily check"
ADVISORY_LOCK: Final = 7_304_921_655_018_337_282
"""The key of the lock that the checking process holds; migrations have another."""

AFTER_MIDNIGHT: Final = (300.0, 2100.0)
"""Seconds after midnight from which a process looks: not all at once, so that most find it done."""
AFTER_START: Final = (60.0, 300.0)
"""Seconds that a process has to live before it looks: commands and the like never do."""
POSTPONED_SECONDS: Final = 60.0
MOST_POSTPONED: Final = 120
"""How often work that goes on may put it off: for two hours."""
TAKEN_SECONDS: Final = (600.0, 900.0)
"""When to look whether another process has done what it began."""
FIRST_RETRY_SECONDS: Final = 60.0
LAST_RETRY_SECONDS: Final = 3600.0
MOST_DAYS: Final = 7
"""How many days that nobody checked are made up for."""

_log = logging.getLogger("telemetry")


def _clock() -> datetime:
    return datetime.now(UTC)


class NotToldError(Exception):
    """Somebody was to be told of the day, and could not be."""


class DailyCheck:
    """When the check of this process is due, and the thread in which it runs."""

    def __init__(
        self, settings: Settings, nudge: Callable[[], None], now: Callable[[], datetime] = _clock
    ) -> None:
        """Prepare; nothing runs before :meth:`look`.

        Args:
            settings: of the process.
            nudge: is called when it is due earlier than :meth:`pause` said before.
            now: tells the time, aware; default: the clock.
        """
        self._settings = settings
        self._zone = ZoneInfo(settings.timezone)
        self._nudge = nudge
        self._now = now
        self._thread: threading.Thread | None = None
        self._is_stopped = False
        self._postponed = 0
        self._retry_seconds = FIRST_RETRY_SECONDS
        midnight = Day.today(self._zone, now()).start.replace(tzinfo=UTC)
        self._due = max(midnight + _seconds(AFTER_MIDNIGHT), now() + _seconds(AFTER_START))

    def pause(self) -> float:
        """Return for how many seconds nothing is due."""
        return max((self._due - self._now()).total_seconds(), 0.0)

    def look(self, is_busy: bool) -> None:
        """Begin the check, in a thread of its own, if it is due and the process is quiet."""
        now = self._now()
        if now < self._due or self._is_stopped:
            return
        if self._is_running() or (is_busy and self._postponed < MOST_POSTPONED):
            self._postponed += 1
            self._due = now + timedelta(seconds=POSTPONED_SECONDS)
            return
        self._postponed = 0
        day = Day.today(self._zone, now)
        self._due = day.end.replace(tzinfo=UTC) + _seconds(AFTER_MIDNIGHT)
        yesterday = day.date - timedelta(days=1)
        self._thread = threading.Thread(
            target=self._run, args=(yesterday,), name="telemetry-daily-check", daemon=True
        )
        with suppressed():  # else it would inherit, and keep, a run
            self._thread.start()

    def stop(self) -> None:
        """Begin nothing any more; the process does not wait for what is under way."""
        self._is_stopped = True

    def check(self, day: date) -> bool:
        """Check a day that is over, unless that is done; return False if another process is at it.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
            LookupError: when the table is the host's own.
            NotToldError: when somebody was to be told and could not be; the rest is done.
        """
        engine = create_engine(self._settings.database_url)
        try:
            with _turn(engine, day) as is_mine:
                if is_mine:
                    self._check(engine, day)
            return is_mine or self._last_done(engine) >= day
        finally:
            engine.dispose()

    def _check(self, engine: Engine, day: date) -> None:
        last = self._last_done(engine)
        if last >= day:
            return
        first = day
        if last > date.min:  # it is not the first time
            first = max(last + timedelta(days=1), day - timedelta(days=MOST_DAYS - 1))
        with HealthCheck(self._settings) as check:
            check.tidy()
            for _ in check.log(first, day):
                if self._is_stopped:
                    return
            if self._settings.alertmanager_url or self._settings.notify:
                told = notify(self._settings, check.findings(day))
                if told.problems:
                    raise NotToldError("; ".join(told.problems))
        claims.finish(engine, day, TASK)

    @staticmethod
    def _last_done(engine: Engine) -> date:
        with transaction(engine) as connection:
            return claims.last_done(connection, TASK) or date.min

    def _run(self, day: date) -> None:
        with guarded("writer"), suppressed():
            try:
                is_settled = self.check(day)
            except (SQLAlchemyError, OSError, LookupError, NotToldError) as error:
                _log.warning("the daily check of telemetry is tried again later (%s)", _reason(error))
                self._again(self._retry_seconds * random.uniform(0.5, 1))
                self._retry_seconds = min(self._retry_seconds * 2, LAST_RETRY_SECONDS)
                return
            self._retry_seconds = FIRST_RETRY_SECONDS
            if not is_settled:
                self._again(random.uniform(*TAKEN_SECONDS))

    def _again(self, seconds: float) -> None:
        """Look earlier than on the next day."""
        self._due = min(self._due, self._now() + timedelta(seconds=seconds))
        self._nudge()

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()


@contextmanager
def _turn(engine: Engine, day: date) -> Iterator[bool]:
    """Be the one who checks, or not; whoever dies meanwhile has had its turn."""
    if engine.dialect.name == "sqlite":
        is_mine = claims.claim(engine, day, TASK)
        try:
            yield is_mine
        finally:
            if is_mine:
                claims.release(engine, day, TASK)  # unless it is done
        return
    # Not through the gate that forks wait at: it is open for as long as the check takes.
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '6h'")
        yield bool(connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(ADVISORY_LOCK))))


def _seconds(bounds: tuple[float, float]) -> timedelta:
    return timedelta(seconds=random.uniform(*bounds))


def _reason(error: Exception) -> str:
    """Return the driver's first line: SQLAlchemy's own text carries the statement and its values."""
    return driver_message(error) or type(error).__name__
