"""The number of rows that break each rule, for a gauge.

The process that exports the gauges from SQL looks at intervals. If the counts are older than
TELEMETRY_INTEGRITY_SECONDS, it claims the check in the database, counts, and stores the counts there, for
whichever process exports the gauges next; if it fails, the next check is due after the same time. A separate
thread counts, so that the other gauges do not wait.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.database.statements import upsert
from exporters.sql.schema.tables import found as table
from exporters.sql.schema.tables import utc_now
from telemetry._internal.context import suppressed
from telemetry._internal.guard import guarded
from telemetry.settings import Settings

from .validation import counted

NAME: Final = "integrity"
FIRST_CHECK_SECONDS: Final = 60.0
"""Seconds from the first look of a process to its first check, and from a failed check to the next."""
LONGEST_CHECK_SECONDS: Final = 120
"""Statement timeout on PostgreSQL."""


class IntegrityWatch:
    """The latest counts that this process knows, and the thread that renews them."""

    def __init__(self, settings: Settings) -> None:
        """Start without counts; no thread runs before :meth:`look`."""
        self._settings = settings
        self._retry_seconds = min(FIRST_CHECK_SECONDS, settings.integrity_seconds)
        self.after_fork()

    def after_fork(self) -> None:
        """Start anew in a forked child, without the counts of its parent."""
        self._counts: Mapping[str, int] = {}
        self._thread: threading.Thread | None = None
        self._due = 0.0
        self._may_check_at: float | None = None
        """Set by the first look, which only reads: short-lived processes do not check."""

    def counts(self) -> Iterator[tuple[Mapping[str, str], int]]:
        """Yield each rule, as a label, with the number of rows that break it; none before the first check."""
        for check, count in self._counts.items():
            yield {"check": check}, count

    def look(self) -> None:
        """Read the last counts, or start a check if it is due, in a thread."""
        is_off, now = self._settings.integrity_seconds == 0, time.monotonic()
        if is_off or now < self._due or (self._thread and self._thread.is_alive()):
            return
        if self._may_check_at is None:
            self._may_check_at = now + self._retry_seconds
        self._due = now + self._retry_seconds
        self._thread = threading.Thread(target=self._look, name="telemetry-integrity", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        with guarded("metrics"), suppressed():
            engine = create_engine(self._settings.database_url)
            try:
                counts = self._count(engine) if self._may_check() and self._claim(engine) else _read(engine)
            except (SQLAlchemyError, OSError):
                return  # the writer logs what is wrong with the database
            finally:
                engine.dispose()
            if counts is not None:
                self._counts = counts
                if self._may_check():
                    self._due = time.monotonic() + self._settings.integrity_seconds

    def _may_check(self) -> bool:
        return self._may_check_at is not None and time.monotonic() >= self._may_check_at

    def _claim(self, engine: Engine) -> bool:
        """Claim the check if the last one is old enough; return whether this process has to do it."""
        with transaction(engine) as connection:
            upsert(connection, table, [{"name": NAME}])
            now: datetime = connection.execute(sa.select(utc_now())).scalar_one()
            old = now - timedelta(seconds=self._settings.integrity_seconds)
            is_old = sa.or_(table.c.asked_at.is_(None), table.c.asked_at <= old)
            claim = table.update().where(table.c.name == NAME, is_old).values(asked_at=now)
            return connection.execute(claim).rowcount > 0

    def _count(self, engine: Engine) -> Mapping[str, int]:
        reading = create_engine(self._settings.database_url, for_reading=True)
        try:
            counts = {rule.name: count for rule, count in counted(reading, begin=_long).items()}
        finally:
            reading.dispose()
        with transaction(engine) as connection:
            change = table.update().where(table.c.name == NAME)
            connection.execute(change.values(figures=json.dumps(counts)))
        return counts


@contextmanager
def _long(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that forks do not wait for, except on SQLite, whose locks belong to a process."""
    if engine.dialect.name == "sqlite":
        with transaction(engine) as connection:
            yield connection
        return
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{LONGEST_CHECK_SECONDS}s'")
        yield connection


def _read(engine: Engine) -> Mapping[str, int] | None:
    """Return the counts of another process; None if there are none yet."""
    with transaction(engine) as connection:
        figures = connection.execute(sa.select(table.c.figures).where(table.c.name == NAME)).scalar()
    return json.loads(figures) if figures else None
