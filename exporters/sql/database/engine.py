"""The writer's own way to the database.

Its engine, its transactions, and values made to fit their columns.
"""

from __future__ import annotations

import base64
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError, NotSupportedError
from sqlalchemy.pool import NullPool

from exporters.metrics.totals import Totals
from telemetry import conventions as c
from telemetry._internal.values import storable

from . import fork_gate
from .drivers import usable

LOCK_TIMEOUT_MS: Final = 200
"""Longest wait for a lock on a host row.

Below PostgreSQL's deadlock_timeout, so the host is never the victim.
"""


class Limits(NamedTuple):
    """Seconds after which PostgreSQL gives up what a transaction of ours does, or waits for."""

    lock: float
    """For one lock."""
    statement: float
    """For one statement, the time that it waits for locks included."""
    idle: float
    """Between two statements: a process that is stopped keeps no lock for longer."""


DELIVERY: Final = Limits(lock=5, statement=30, idle=10)
"""Of the writer, and of requests: short transactions, which are tried again."""
COMMAND: Final = Limits(lock=10, statement=600, idle=300)
"""Of what an operator or the daily check changes: it may touch many rows."""
READING: Final = Limits(lock=10, statement=3600, idle=600)
"""Of reports, exports and checks: they keep nobody waiting, and a download may be slow."""

IDLE_TIMEOUT_MS: Final = 5000
"""Longest time for which a transaction that may keep a row of the host's from deletion waits for its process.

What locks a row that is to be updated does not wait for the process at all.
"""
HELD_MS: Final = 2000
"""Longest time for which the server may be at work on locked rows of the host's."""
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
_INTEGER: Final = 2**31 - 1
BULK_ROWS: Final = 20
"""Rows from which on PostgreSQL gets them in one parameter."""
_ALONE: Final = "telemetry_alone"
"""Execution option of a connection whose statements are no transaction."""
GIVEN: Final = "given"
"""Name of that parameter, and of the table that it is made to."""

PAGE_COST: Final = 1.1
"""What PostgreSQL is told that a page out of turn costs a question of ours: disks do not turn any more.

Told 4, as by default, it reads all stages there are to find those of a week.
"""

PERMANENT: Final = (DataError, IntegrityError, NotSupportedError)
"""Errors that a later attempt would meet again; all others are worth another try."""


UNFIT: Final = (TypeError, ValueError, ArithmeticError, LookupError)
"""What Python and the drivers raise of a value that cannot be stored."""


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
        if connection.get_execution_options().get(_ALONE):
            return
        others = {"random_page_cost": str(PAGE_COST)} if for_reading else {}
        set_limits(connection, limits(), **others)


def set_limits(connection: Connection, limits: Limits, **others: str) -> None:
    """Limit the transaction that is under way on PostgreSQL, and nothing that comes after it.

    Args:
        connection: of ours, or of the host's.
        limits: in seconds.
        others: more settings of PostgreSQL's.
    """
    if connection.dialect.name != "postgresql":
        return
    _set(connection, _settings(limits) | others)


def _set(connection: Connection, local: Mapping[str, str]) -> None:
    calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in local.items())
    connection.exec_driver_sql(f"SELECT {calls}").close()  # one statement: SET LOCAL would take one for each


def _settings(limits: Limits) -> dict[str, str]:
    return {
        "lock_timeout": _milliseconds(limits.lock),
        "statement_timeout": _milliseconds(limits.statement),
        "idle_in_transaction_session_timeout": _milliseconds(limits.idle),
    }


def _milliseconds(seconds: float) -> str:
    return str(max(int(seconds * 1000), 1))  # 0 would be for ever


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
        if not connection.get_execution_options().get(_ALONE):
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
            _set(connection, {name: str(value) for name, value in local.items()})
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
            yield connection.execution_options(**{_ALONE: True})
    else:
        with transaction(engine) as connection:
            _set(connection, {"lock_timeout": str(LOCK_TIMEOUT_MS)})
            yield connection


def at_once(engine: Engine, variables: Mapping[str, str], text: str, *, take_back: bool = False) -> Any:
    """Let PostgreSQL run statements in one round trip, as one transaction; return the row of the last one.

    It commits them whether this process goes on or not: what they lock is free again when they are done.

    Args:
        engine: for PostgreSQL.
        variables: of the transaction, for ``current_setting``: several statements in one text take no values.
        text: statements as :func:`as_text` puts them together; the last returns one row.
        take_back: whether it is only a trial; then what is locked is held until this process ends it.
    """
    variables = _AT_ONCE | {name: _quoted(value) for name, value in variables.items()}
    calls = ", ".join(f"set_config('{name}', {value}, true)" for name, value in variables.items())
    options = {} if take_back else {"isolation_level": "AUTOCOMMIT", _ALONE: True}
    with fork_gate.gate.passed(), engine.connect() as connection:
        return _last_row(connection.execution_options(**options), f"SELECT {calls}; {text}")


_AT_ONCE: Final = {
    "synchronous_commit": "'off'",  # what is noted after it waits for the disk
    "lock_timeout": f"'{LOCK_TIMEOUT_MS}'",
    "statement_timeout": f"'{HELD_MS}'",
}


def _quoted(value: str) -> str:
    """Return a text for PostgreSQL, written so that nothing in it has to be quoted."""
    return f"convert_from(decode('{base64.b64encode(value.encode()).decode()}', 'base64'), 'UTF8')"


def as_text(statements: Sequence[sa.Executable]) -> str:
    """Return statements without parameters as one text for PostgreSQL."""
    literally = {"literal_binds": True}
    compiled = (one.compile(dialect=_POSTGRESQL, compile_kwargs=literally) for one in statements)  # type: ignore[attr-defined]
    return "; ".join(map(str, compiled))


_POSTGRESQL: Final = postgresql.dialect()  # type: ignore[no-untyped-call]


def _last_row(connection: Connection, text: str) -> Any:
    cursor: Any = connection.execution_options(no_parameters=True).exec_driver_sql(text).cursor
    while connection.dialect.driver == "psycopg" and cursor.nextset():
        pass  # the other drivers have the last result at once, and no other
    return cursor.fetchone()


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a JSON array that :func:`recordset` reads."""
    return json.dumps(rows, default=str)


def insert(dialect: str, table: sa.Table) -> Any:
    """Return an INSERT that knows ON CONFLICT."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


def upsert(
    connection: Connection,
    table: sa.Table,
    rows: list[dict[str, Any]],
    *,
    by: tuple[str, ...] = (),
    keep: tuple[str, ...] = (),
    where: sa.ColumnElement[bool] | None = None,
) -> int:
    """Insert ``rows``, or update those that are there; return how many of them were written.

    Args:
        connection: in a transaction.
        table: with a primary key.
        rows: all with the same keys.
        by: unique columns that tell whether a row is there; default: the primary key.
        keep: columns an update leaves alone.
        where: condition under which a row that is there is updated.
    """
    if not rows:
        return 0
    names, is_bulk = tuple(rows[0]), _is_bulk(connection, rows)
    # A condition may hold a value of the moment: what is made with one is not kept.
    make = _upsert if where is not None else _kept_upsert
    statement = make(connection.dialect.name, table, names, by, keep, is_bulk, where)
    if is_bulk:
        return connection.execute(statement, {GIVEN: as_json(rows)}).rowcount
    return connection.execute(statement, rows if len(rows) > 1 else rows[0]).rowcount


def _upsert(
    dialect: str,
    table: sa.Table,
    names: tuple[str, ...],
    by: tuple[str, ...],
    keep: tuple[str, ...],
    is_bulk: bool,
    where: sa.ColumnElement[bool] | None,
) -> Any:
    rows = insert(dialect, table)
    if is_bulk:
        given = _recordset({name: table.c[name].type for name in names})
        # Without a condition, PostgreSQL's grammar takes ON CONFLICT for one of a join.
        rows = rows.from_select(list(names), sa.select(given).where(sa.true()))
    keys = set(by) or {column.name for column in table.primary_key}
    changes = {name: rows.excluded[name] for name in names if name not in keys and name not in keep}
    if changes:
        statement = rows.on_conflict_do_update(index_elements=sorted(keys), set_=changes, where=where)
    else:
        statement = rows.on_conflict_do_nothing(index_elements=sorted(keys))
    return statement.execution_options(preserve_rowcount=True)  # with psycopg 3 it is lost otherwise


_kept_upsert: Final = cache(_upsert)


def update_rows(connection: Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Update the rows of ``table`` whose ``id`` stands as ``row_id`` in ``rows``, which have equal keys."""
    names = tuple(name for name in rows[0] if name != "row_id") if rows else ()
    if not names:
        return
    if _is_bulk(connection, rows):
        connection.execute(_bulk_update(table, names), {GIVEN: as_json(rows)})
        return
    connection.execute(_update(table, names), rows)


@cache
def _update(table: sa.Table, names: tuple[str, ...]) -> Any:
    change = table.update().where(table.c.id == sa.bindparam("row_id"))
    return change.values({name: sa.bindparam(name) for name in names})


@cache
def _bulk_update(table: sa.Table, names: tuple[str, ...]) -> Any:
    given = _recordset({"row_id": table.c.id.type, **{name: table.c[name].type for name in names}})
    change = table.update().where(table.c.id == given.c.row_id)
    return change.values({name: given.c[name] for name in names})


def _is_bulk(connection: Connection, rows: list[dict[str, Any]]) -> bool:
    """Say whether one statement over a JSON array is quicker than one for each row."""
    return connection.dialect.name == "postgresql" and len(rows) >= BULK_ROWS


def _recordset(types: Mapping[str, Any]) -> Any:
    """Return rows as a table of PostgreSQL's, sent as one JSON parameter."""
    return recordset(types, sa.bindparam(GIVEN, type_=sa.Text()))


def recordset(types: Mapping[str, Any], text: sa.ColumnElement[Any]) -> Any:
    """Return the rows of a JSON array as a table of PostgreSQL's."""
    columns = [sa.column(name, kind) for name, kind in types.items()]
    records = sa.func.json_to_recordset(sa.cast(text, postgresql.JSON)).table_valued(*columns, name=GIVEN)
    return records.render_derived(with_types=True)


def comparable(connection: Connection, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return a time that can be compared: SQLite keeps text, with fractions of a second or without."""
    if connection.dialect.name == "sqlite":
        return sa.func.strftime("%Y-%m-%d %H:%M:%f", column)
    return column


def fit(table: sa.Table, values: Mapping[str, Any], totals: Totals) -> dict[str, Any]:
    """Return ``values`` made to fit their columns; what had to be cut or dropped is counted."""
    fitters, fitted = _fitters(table), dict(values)
    for name, value in values.items():
        if value is None:
            continue
        fitting = fitters[name](value)
        if fitting is not value and fitting != value:
            totals.add(c.VALUES_COERCED, 1, column=f"{table.name}.{name}")
        fitted[name] = fitting
    return fitted


@cache
def _fitters(table: sa.Table) -> dict[str, Callable[[Any], Any]]:
    return {column.name: _fitter(column.type) for column in table.c}


def _fitter(kind: Any) -> Callable[[Any], Any]:
    """Return what makes a value fit a type of column."""
    if isinstance(kind, sa.String):
        return lambda value: storable(str(value))[: kind.length]
    if isinstance(kind, sa.Integer):
        return _integers(2**63 - 1 if isinstance(kind, sa.BigInteger) else _INTEGER)
    if isinstance(kind, sa.Numeric):
        return _numbers(kind.precision, kind.scale)
    if isinstance(kind, sa.Boolean):
        return bool
    return lambda value: value


def _integers(bound: int) -> Callable[[Any], Any]:
    def fitted(value: Any) -> int | None:
        if type(value) is int and -_INTEGER <= value <= _INTEGER:
            return value  # nearly all are, and every row has many
        if not math.isfinite(value):
            return None
        return max(min(int(value), bound), -bound)

    return fitted


def _numbers(precision: int | None, scale: int | None) -> Callable[[Any], Any]:
    if not precision or not scale:
        return lambda value: value if math.isfinite(value) else None
    bound = Decimal(10) ** (precision - scale) - Decimal(1).scaleb(-scale)

    def fitted(value: Any) -> float | Decimal | None:
        if not math.isfinite(value):
            return None
        if -bound <= value <= bound:  # exact, also of a float
            return value  # type: ignore[no-any-return]
        return bound if value > 0 else -bound

    return fitted


def to_datetime(epoch_ns: int | None) -> datetime | None:
    """Return epoch nanoseconds as the naive UTC time our columns hold."""
    if epoch_ns is None:
        return None
    return datetime.fromtimestamp(epoch_ns // 1000 / 1e6, UTC).replace(tzinfo=None)
