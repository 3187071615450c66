"""Run the daily check in one process of the application, soon after midnight, so that no cron job is needed.

Every process tries once a day. On PostgreSQL a transaction-level advisory lock selects one of them: it works
behind a pooler, and is released when its holder dies. On SQLite a claim does. A finished check is recorded,
so that other processes, and those that start later, do not repeat it.
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
from telemetry._internal.urls.secrets import driver_message
from telemetry.settings import Settings

from .health_log import HealthCheck

TASK: Final = "daily check"
ADVISORY_LOCK: Final = 7_304_921_655_018_337_282
"""Key of the advisory lock; migrations use another."""

AFTER_MIDNIGHT: Final = (300.0, 2100.0)
"""Range of seconds after midnight at which a process tries; spread, so that most find it done."""
AFTER_START: Final = (60.0, 300.0)
"""Range of seconds after the start of a process before it tries; short-lived processes never do."""
POSTPONED_SECONDS: Final = 60.0
MOST_POSTPONED: Final = 120
"""How often running work may postpone the check: for two hours in all."""
TAKEN_SECONDS: Final = (600.0, 900.0)
"""Range of seconds before checking whether another process has finished."""
FIRST_RETRY_SECONDS: Final = 60.0
LAST_RETRY_SECONDS: Final = 3600.0
MOST_DAYS: Final = 7
"""Maximum number of missed days that are checked afterwards."""

_log = logging.getLogger("telemetry")


def _clock() -> datetime:
    return datetime.now(UTC)


class NotNotifiedError(Exception):
    """Findings of the day could not be sent."""


class DailyCheck:
    """Starts the check in a thread when it is due."""

    def __init__(
        self, settings: Settings, nudge: Callable[[], None], now: Callable[[], datetime] = _clock
    ) -> None:
        """Prepare; nothing runs before :meth:`look`.

        Args:
            settings: of the process.
            nudge: called when the check is due earlier than :meth:`pause` returned.
            now: returns the current time, aware; default: that of the clock.
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
        """Return the seconds until the check is due."""
        return max((self._due - self._now()).total_seconds(), 0.0)

    def look(self, is_busy: bool) -> None:
        """Start the check in a thread, if it is due and no run is open, or it was postponed too often."""
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
        with suppressed():  # otherwise the thread would inherit a run
            self._thread.start()

    def stop(self) -> None:
        """Start no more checks; the process does not wait for a running one."""
        self._is_stopped = True

    def check(self, day: date) -> bool:
        """Check a complete day, unless that is done; return False if another process is checking it.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
            LookupError: if the table belongs to the host.
            NotNotifiedError: if findings could not be sent; everything else is done.
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
                outcome = notify(self._settings, check.findings(day))
                if outcome.problems:
                    raise NotNotifiedError("; ".join(outcome.problems))
        claims.finish(engine, day, TASK)

    @staticmethod
    def _last_done(engine: Engine) -> date:
        with transaction(engine) as connection:
            return claims.last_done(connection, TASK) or date.min

    def _run(self, day: date) -> None:
        with guarded("writer"), suppressed():
            try:
                is_settled = self.check(day)
            except (SQLAlchemyError, OSError, LookupError, NotNotifiedError) as error:
                _log.warning("the daily check of telemetry is tried again later (%s)", _reason(error))
                self._again(self._retry_seconds * random.uniform(0.5, 1))
                self._retry_seconds = min(self._retry_seconds * 2, LAST_RETRY_SECONDS)
                return
            self._retry_seconds = FIRST_RETRY_SECONDS
            if not is_settled:
                self._again(random.uniform(*TAKEN_SECONDS))

    def _again(self, seconds: float) -> None:
        """Try again on the same day."""
        self._due = min(self._due, self._now() + timedelta(seconds=seconds))
        self._nudge()

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()


@contextmanager
def _turn(engine: Engine, day: date) -> Iterator[bool]:
    """Yield whether this process is the one to check; if it dies, another one is later."""
    if engine.dialect.name == "sqlite":
        is_mine = claims.claim(engine, day, TASK)
        try:
            yield is_mine
        finally:
            if is_mine:
                claims.release(engine, day, TASK)  # no-op if it is finished
        return
    # Without the gate that forks wait for: the transaction lasts as long as the check.
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '6h'")
        yield bool(connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(ADVISORY_LOCK))))


def _seconds(bounds: tuple[float, float]) -> timedelta:
    return timedelta(seconds=random.uniform(*bounds))


def _reason(error: Exception) -> str:
    """Return the message of the driver; that of SQLAlchemy contains the statement and its values."""
    return driver_message(error) or type(error).__name__
