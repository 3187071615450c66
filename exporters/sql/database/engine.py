"""Our engines and their transactions."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError, NotSupportedError
from sqlalchemy.pool import NullPool

from . import fork_gate
from .drivers import usable
from .limits import COMMAND, IDLE_TIMEOUT_MS, LOCK_TIMEOUT_MS, READING, Limits, set_limits, set_local

SQLITE_BUSY_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 5.0
APPLICATION_NAME: Final = "analysis-telemetry"
"""Name of our sessions in pg_stat_activity."""
_KEEPALIVES: Final = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""With these, a connection that silently loses all packets fails within a minute, not 15 minutes."""
ALONE: Final = "telemetry_alone"
"""Execution option of connections on which each statement is a transaction of its own."""

PAGE_COST: Final = 1.1
"""The `random_page_cost` of transactions that only read, which fits solid-state disks.

With the default of 4, PostgreSQL reads all stages to find those of a week.
"""

PERMANENT: Final = (DataError, IntegrityError, NotSupportedError)
"""Errors that every later attempt would meet again; after all others, another attempt makes sense."""


def create_engine(
    url: str,
    connect_seconds: Callable[[], float] = lambda: CONNECT_SECONDS,
    *,
    for_reading: bool = False,
    limits: Callable[[], Limits] | None = None,
) -> Engine:
    """Return an engine with one connection, which shares nothing with the host's engine.

    Args:
        url: URL of the database.
        connect_seconds: returns the seconds that connecting may take now.
        for_reading: whether its transactions only read, so that on SQLite they block no writer.
        limits: returns the limits of a transaction that begins now, on PostgreSQL; default: `READING` or
            `COMMAND`.

    Raises:
        ValueError: for an invalid URL, or a database that cannot keep rollups.
        ImportError: if no driver for it is installed; the message names the package.
    """
    target = usable(url)
    if target.get_backend_name() == "sqlite" and target.database in (None, "", ":memory:"):
        raise ValueError("an in-memory SQLite database exists only in the host's own connection; use a file")
    options: dict[str, Any] = {"poolclass": NullPool}
    if target.get_backend_name() == "postgresql":
        options = {
            "pool_size": 1,
            "max_overflow": 1,
            "pool_pre_ping": True,
            "isolation_level": "READ COMMITTED",
        }
        parameters = {"application_name": APPLICATION_NAME, **_KEEPALIVES}
        options["connect_args"] = {
            name: value for name, value in parameters.items() if name not in target.query
        }
    if target.get_driver_name() == "psycopg2":
        options["executemany_mode"] = "values_plus_batch"
    if target.get_driver_name() == "psycopg":
        options["connect_args"]["prepare_threshold"] = None
    engine = sa.create_engine(target, **options)
    if engine.dialect.name == "sqlite":
        _begin(engine, "BEGIN" if for_reading else "BEGIN IMMEDIATE")
    else:
        _limit_connecting(engine, connect_seconds)
        usual = READING if for_reading else COMMAND
        _limit_transactions(engine, limits or (lambda: usual), for_reading)
    return engine


def _limit_connecting(engine: Engine, connect_seconds: Callable[[], float]) -> None:
    @sa.event.listens_for(engine, "do_connect")
    def connecting(_: Any, __: Any, ___: Any, parameters: dict[str, Any]) -> None:
        parameters["connect_timeout"] = max(math.ceil(connect_seconds()), 1)  # 0 would mean no limit


def _limit_transactions(engine: Engine, limits: Callable[[], Limits], for_reading: bool) -> None:
    """Set the limits of every transaction when it begins: a pooler may give it another session."""

    @sa.event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        if connection.get_execution_options().get(ALONE):
            return
        others = {"random_page_cost": str(PAGE_COST)} if for_reading else {}
        set_limits(connection, limits(), **others)


def _begin(engine: Engine, statement: str) -> None:
    """Begin transactions on SQLite with ``statement``, instead of when the driver would.

    Writers take the lock at once, because a transaction that reads first and writes later can fail half-way.
    """

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {int(SQLITE_BUSY_SECONDS * 1000)}")

    @sa.event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        if not connection.get_execution_options().get(ALONE):
            connection.exec_driver_sql(statement)


class Batch:
    """Several transactions of one thread combined into one, because each commit waits for the disk."""

    def __init__(self, engine: Engine, stack: ExitStack) -> None:
        self.engine = engine
        self.once_committed: list[Callable[[], object]] = []
        self._stack = stack
        self._connection: Connection | None = None
        self._began = 0.0

    def connection(self) -> Connection:
        """Return the connection that they share; the first call begins the transaction."""
        if self._connection is None:
            self._stack.enter_context(fork_gate.gate.passed())
            self._connection = self._stack.enter_context(self.engine.begin())
            self._began = time.monotonic()
        return self._connection

    @property
    def has_begun(self) -> bool:
        """Whether the transaction has begun."""
        return self._connection is not None

    def seconds(self) -> float:
        """Return for how long it has blocked other writers; its wait for them does not count."""
        return time.monotonic() - self._began if self.has_begun else 0.0


class _Batches(threading.local):
    batch: Batch | None = None


_batches: Final = _Batches()


@contextmanager
def batch(engine: Engine) -> Iterator[Batch]:
    """Combine all transactions within the block into one; one that fails is rolled back alone."""
    with ExitStack() as stack:
        _batches.batch = current = Batch(engine, stack)
        try:
            yield current
        finally:
            _batches.batch = None
    for act in current.once_committed:
        act()


def once_committed(engine: Engine, act: Callable[[], object]) -> None:
    """Call ``act`` once all that was written is committed: now, or at the end of a batch."""
    if (current := _batch_of(engine)) is None:
        act()
    else:
        current.once_committed.append(act)


def _batch_of(engine: Engine) -> Batch | None:
    """Return the current batch of this thread."""
    current = _batches.batch
    return current if current is not None and current.engine is engine else None


@contextmanager
def transaction(engine: Engine, *, impatient: bool = False) -> Iterator[Connection]:
    """Open a short transaction; an ``impatient`` one fails if the host holds a lock, or if it is idle."""
    if (current := _batch_of(engine)) is not None:
        connection = current.connection()
        with connection.begin_nested():
            yield connection
        return
    with fork_gate.gate.passed(), engine.begin() as connection:
        if impatient and engine.dialect.name == "postgresql":
            local = {"lock_timeout": LOCK_TIMEOUT_MS, "idle_in_transaction_session_timeout": IDLE_TIMEOUT_MS}
            set_local(connection, {name: str(value) for name, value in local.items()})
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a connection to read rows of the host, which may change between two statements.

    On SQLite every statement is a transaction of its own: a longer one would keep the host from committing.
    """
    if (current := _batch_of(engine)) is not None and current.has_begun:
        yield current.connection()
    elif engine.dialect.name == "sqlite":
        with fork_gate.gate.passed(), engine.connect() as connection:
            yield connection.execution_options(**{ALONE: True})
    else:
        with transaction(engine) as connection:
            set_local(connection, {"lock_timeout": str(LOCK_TIMEOUT_MS)})
            yield connection
