"""The writer's own way to the database: its engine and its transactions."""

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
"""Of our sessions, in pg_stat_activity."""
_KEEPALIVES: Final = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""A network that swallows what is sent is noticed within a minute, instead of a quarter of an hour."""
ALONE: Final = "telemetry_alone"
"""Execution option of a connection whose statements are no transaction."""

PAGE_COST: Final = 1.1
"""What PostgreSQL is told that a page out of turn costs a question of ours: disks do not turn any more.

Told 4, as by default, it reads all stages there are to find those of a week.
"""

PERMANENT: Final = (DataError, IntegrityError, NotSupportedError)
"""Errors that a later attempt would meet again; all others are worth another try."""


def create_engine(
    url: str,
    patience: Callable[[], float] = lambda: CONNECT_SECONDS,
    *,
    for_reading: bool = False,
    limits: Callable[[], Limits] | None = None,
) -> Engine:
    """Return an engine of our own: one connection, nothing shared with the host's.

    Args:
        url: of the database.
        patience: how many seconds a connection that begins now may take.
        for_reading: its transactions only read, and on SQLite keep nobody from writing.
        limits: of a transaction that begins now, on PostgreSQL; default: `READING` or `COMMAND`.

    Raises:
        ValueError: for a URL that is none, or of a database that cannot keep rollups.
        ImportError: when no driver for it is installed; the message names the package.
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
        told = {"application_name": APPLICATION_NAME, **_KEEPALIVES}
        options["connect_args"] = {name: value for name, value in told.items() if name not in target.query}
    if target.get_driver_name() == "psycopg2":
        options["executemany_mode"] = "values_plus_batch"
    if target.get_driver_name() == "psycopg":
        options["connect_args"]["prepare_threshold"] = None
    engine = sa.create_engine(target, **options)
    if engine.dialect.name == "sqlite":
        _begin(engine, "BEGIN" if for_reading else "BEGIN IMMEDIATE")
    else:
        _limit_connecting(engine, patience)
        usual = READING if for_reading else COMMAND
        _limit_transactions(engine, limits or (lambda: usual), for_reading)
    return engine


def _limit_connecting(engine: Engine, patience: Callable[[], float]) -> None:
    @sa.event.listens_for(engine, "do_connect")
    def connecting(_: Any, __: Any, ___: Any, parameters: dict[str, Any]) -> None:
        parameters["connect_timeout"] = max(math.ceil(patience()), 1)  # 0 would be for ever


def _limit_transactions(engine: Engine, limits: Callable[[], Limits], for_reading: bool) -> None:
    """Set the limits of each transaction where it begins: a pooler may give the next one another session."""

    @sa.event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        if connection.get_execution_options().get(ALONE):
            return
        others = {"random_page_cost": str(PAGE_COST)} if for_reading else {}
        set_limits(connection, limits(), **others)


def _begin(engine: Engine, statement: str) -> None:
    """Begin transactions on SQLite ourselves.

    A writer takes the lock at once: a transaction that reads first and writes later can fail half-way.
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
    """Transactions of one thread that are one on SQLite, which waits for the disk at the end of each."""

    def __init__(self, engine: Engine, stack: ExitStack) -> None:
        self.engine = engine
        self.once_committed: list[Callable[[], object]] = []
        self._stack = stack
        self._connection: Connection | None = None
        self._began = 0.0

    def connection(self) -> Connection:
        """Return the one of all; the transaction begins with the first that is asked for."""
        if self._connection is None:
            self._stack.enter_context(fork_gate.gate.passed())
            self._connection = self._stack.enter_context(self.engine.begin())
            self._began = time.monotonic()
        return self._connection

    @property
    def has_begun(self) -> bool:
        """Whether there was any transaction."""
        return self._connection is not None

    def seconds(self) -> float:
        """Return for how long it has kept others from writing, which is not how long it waited for them."""
        return time.monotonic() - self._began if self.has_begun else 0.0


class _Batches(threading.local):
    batch: Batch | None = None


_batches: Final = _Batches()


@contextmanager
def batch(engine: Engine) -> Iterator[Batch]:
    """Let all transactions of the block be one; one that fails is rolled back alone."""
    with ExitStack() as stack:
        _batches.batch = found = Batch(engine, stack)
        try:
            yield found
        finally:
            _batches.batch = None
    for act in found.once_committed:
        act()


def once_committed(engine: Engine, act: Callable[[], object]) -> None:
    """Do something when what was written is committed: now, unless it is part of a batch."""
    if (whole := _batch_of(engine)) is None:
        act()
    else:
        whole.once_committed.append(act)


def _batch_of(engine: Engine) -> Batch | None:
    """Return the batch that is under way in this thread."""
    whole = _batches.batch
    return whole if whole is not None and whole.engine is engine else None


@contextmanager
def transaction(engine: Engine, *, impatient: bool = False) -> Iterator[Connection]:
    """Open a short transaction; ``impatient`` ones give up when the host holds a lock, or we stand still."""
    if (whole := _batch_of(engine)) is not None:
        connection = whole.connection()
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
    """Open what only reads rows of the host's; what is read may change from one statement to the next.

    On SQLite each statement stands alone: a transaction that reads keeps the host from committing.
    """
    if (whole := _batch_of(engine)) is not None and whole.has_begun:
        yield whole.connection()
    elif engine.dialect.name == "sqlite":
        with fork_gate.gate.passed(), engine.connect() as connection:
            yield connection.execution_options(**{ALONE: True})
    else:
        with transaction(engine) as connection:
            set_local(connection, {"lock_timeout": str(LOCK_TIMEOUT_MS)})
            yield connection
