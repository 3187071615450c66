"""Locks for migrations: one migrator at a time, which never blocks the host for long.

An ALTER TABLE that waits for a lock makes every later query on that table wait behind it. So a statement
gives up after `LOCK_TIMEOUT` and is tried again after a pause in which the host goes on, until patience runs
out.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from exporters.sql.database.limits import READING, set_limits

from .alembic_runner import MigrationError

LOCK_TIMEOUT = 0.2
"""Seconds that a statement waits for a table; below deadlock_timeout, so the host is never cancelled."""

LONGEST_STATEMENT = "12h"
"""CREATE INDEX may take much longer than a request, and blocks nobody meanwhile."""

LONGEST_IDLE = "60s"
"""A migrator that is stopped during a transaction holds its locks for at most this time."""

ADVISORY_LOCK = 7_304_921_655_018_337_281
"""The key of the advisory lock of a migrator, a number that no other program uses."""

_PAUSE = (0.1, 0.5)
_ATTEMPTS = 5
_LOCK_NOT_AVAILABLE, _DEADLOCK_DETECTED = "55P03", "40P01"


class Patience:
    """A limit to the time that is spent on waiting in all.

    Args:
        seconds: The limit, from now on.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._deadline = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left, never below `LOCK_TIMEOUT`."""
        return max(self._deadline - time.monotonic(), LOCK_TIMEOUT)

    def pause(self, complaint: str) -> None:
        """Wait a little, for a random time.

        Raises:
            MigrationError: `complaint`, when the time is used up.
        """
        if time.monotonic() >= self._deadline:
            raise MigrationError(complaint)
        time.sleep(random.uniform(*_PAUSE))

    def retry(self, action: Callable[[], None]) -> None:
        """Run `action` until no lock stands in its way.

        Raises:
            MigrationError: The time is used up; names the statement that waited.
        """
        while True:
            try:
                return action()
            except DBAPIError as error:
                if not _is_busy(error):
                    raise
                self._pause_after(error)

    def _pause_after(self, error: DBAPIError) -> None:
        statement = " ".join((error.statement or "").split())
        try:
            self.pause(
                f"gave up after {self.seconds:g} s on {statement[:80]!r}: another session holds a lock; "
                "end that session (on PostgreSQL, pg_stat_activity shows it, often as 'idle in transaction') "
                "or try again at a quieter time: what is done stays done"
            )
        except MigrationError as complaint:
            raise complaint from error


def _is_busy(error: DBAPIError) -> bool:
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state in (_LOCK_NOT_AVAILABLE, _DEADLOCK_DETECTED)


@contextmanager
def one_migrator(connection: Connection, patience: Patience) -> Iterator[None]:
    """Keep other migrators of this database out while the block runs, with a short lock timeout.

    On PostgreSQL by an advisory lock of the session, so that a crash leaves nothing behind; on SQLite
    `begin_writing` is enough.

    Raises:
        MigrationError: Another migrator did not end in time, or there is no session to lock anything with.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    _insist_on_a_session(connection)
    _wait_for_turn(connection, patience)
    connection.exec_driver_sql(lock_timeout(LOCK_TIMEOUT))
    connection.exec_driver_sql(f"SET statement_timeout = '{LONGEST_STATEMENT}'")
    connection.exec_driver_sql(f"SET idle_in_transaction_session_timeout = '{LONGEST_IDLE}'")
    connection.commit()
    try:
        yield
    finally:
        with suppress(DBAPIError):  # the session has ended, and released the lock
            _release(connection)


def begin_writing(connection: Connection) -> None:
    """Begin a transaction as the only writer of a SQLite database.

    The driver would begin it only with the first row that is written, and leave the DDL before that outside.
    """
    connection.begin()
    driver: Any = connection.connection.dbapi_connection
    if not driver.in_transaction:  # a listener of the host's engine may have begun it
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _insist_on_a_session(connection: Connection) -> None:
    """Refuse a pooler in transaction mode: every transaction gets another session, and the host our settings.

    It is recognised by a transaction on a second connection in the session that the first has just used.
    """
    announced = getattr(connection.connection.dbapi_connection, "info", None)
    session = sa.select(sa.func.pg_backend_pid())
    set_limits(connection, READING)
    if connection.scalar(session) == getattr(announced, "backend_pid", None):
        return  # there is no pooler
    for _ in range(_ATTEMPTS):
        set_limits(connection, READING)
        used = connection.scalar(session)
        connection.rollback()
        with connection.engine.connect() as other:
            if other.scalar(session) == used or connection.scalar(session) != used:
                raise MigrationError(
                    "the database is reached through a pooler in transaction mode (PgBouncer?), "
                    "which migrations cannot use: "
                    "run flask telemetry db upgrade with --database-url and PostgreSQL's own address"
                )
        connection.rollback()


def _wait_for_turn(connection: Connection, patience: Patience) -> None:
    while not _has_locked(connection):
        # Waiting inside a transaction could hold up the other migrator's CREATE INDEX CONCURRENTLY.
        connection.rollback()
        patience.pause(
            f"another migration of this database has been running for {patience.seconds:g} s: "
            f"wait for it to end, or end its session (pg_locks shows it, locktype 'advisory')"
        )


def _has_locked(connection: Connection) -> bool:
    set_limits(connection, READING)
    return bool(connection.scalar(sa.select(sa.func.pg_try_advisory_lock(ADVISORY_LOCK))))


def _release(connection: Connection) -> None:
    connection.rollback()
    connection.execute(sa.select(sa.func.pg_advisory_unlock(ADVISORY_LOCK)))
    for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        connection.exec_driver_sql(f"RESET {name}")
    connection.commit()


def lock_timeout(seconds: float) -> str:
    """Return the statement that says how long the session's statements wait for a lock (PostgreSQL)."""
    return f"SET lock_timeout = {max(1, round(seconds * 1000))}"
