"""How rows of the host's are written: everything is computed before, and compared again under the lock.

What was computed from something that has changed since is not written, but computed again: so the last
writer has seen what the others wrote. PostgreSQL locks the rows for one round trip, however long this process
then waits for its turn. No lock is waited for: rows that are busy come again later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from . import schema
from .database import APPLICATION_NAME, as_json, at_once, recordset

COURTESY: Final = timedelta(seconds=60)
"""For how long after news of a run its rows wait while a transaction of the host's idles with a snapshot."""
ACTIVE_COURTESY: Final = timedelta(seconds=10)
"""The same while one that has used the host's tables executes a statement: it may be at any level."""

Values: TypeAlias = Mapping[str, Any]
Condition: TypeAlias = sa.ColumnElement[bool]

_host = schema.host_tables(sa.MetaData())

_STATE: Final = "telemetry.state"
"""Variable of a transaction: `held` once the row is locked, `unchanged` once the basis was compared."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What the values of a row were computed from."""

    table: sa.Table
    row_id: int
    query: Any
    """Puts it into one text."""
    seen: str
    """That text, read before the values were computed."""
    news: datetime | None
    """When the database heard of what the row may not show yet."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written while the basis is the same."""

    values: Values
    """Of the row."""
    files: Sequence[Values] = ()
    """Of rows of ``candidate_files``: ``row_id``, and values under the same keys for all."""
    more: Callable[[Condition], Sequence[Any]] = lambda _: ()
    """Makes statements on our own tables, which hold under a condition."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a change came to."""

    free: int
    """Files that nobody else held."""
    stored: int
    """Files that are there."""


def write(engine: Engine, basis: Basis, change: Change, *, take_back: bool = False) -> Written | None:
    """Write on PostgreSQL; return None if the row is busy, or its basis is another by now.

    Args:
        engine: the writer's.
        basis: what the change was computed from.
        change: what is written.
        take_back: whether this is only a trial.
    """
    unchanged = _is_state("unchanged")
    statements = [_hold(basis), _compare(basis)]
    if change.values:
        statements.append(_bulk_update(basis, change.values, unchanged))
    statements += [*change.more(unchanged), _update_files(basis, change.files, unchanged)]
    state, free, stored = at_once(engine, statements, take_back=take_back)
    return Written(free, stored) if state == "unchanged" else None


def write_within(connection: Connection, basis: Basis, change: Change) -> Written | None:
    """Write on SQLite, in a transaction that has the lock; return None if the basis is another by now."""
    if connection.scalar(basis.query) != basis.seen:
        return None
    _update(connection, basis.table, [{"row_id": basis.row_id, **change.values}])
    _update(connection, _host.candidate_files, change.files)
    for statement in change.more(sa.true()):
        connection.execute(statement)
    return Written(len(change.files), len(change.files))


def _hold(basis: Basis) -> Any:
    """Lock the row in a statement of its own: only the next one sees what others committed until then."""
    table = basis.table
    row = sa.select(table.c.id).where(table.c.id == basis.row_id, ~_is_snapshot_kept(basis.news))
    held = row.with_for_update(skip_locked=True, key_share=True).subquery()
    return sa.select(sa.func.set_config(_STATE, "held", True)).select_from(held)


def _compare(basis: Basis) -> Any:
    same = basis.query.scalar_subquery() == sa.literal(basis.seen)
    return sa.select(sa.func.set_config(_STATE, "unchanged", True)).where(_is_state("held"), same)


def _is_state(name: str) -> Condition:
    return sa.func.current_setting(_STATE, True) == name


def _is_snapshot_kept(news: datetime | None) -> Condition:
    """Say whether the host, at REPEATABLE READ, could fail to update a row because we did meanwhile.

    Between its statements, a transaction keeps a snapshot from REPEATABLE READ on, and not below. It is
    waited for, but not for ever: a dump or a report keeps a snapshot for hours.
    """
    if news is None:
        return sa.false()
    tables = ", ".join(
        f"to_regclass('{table.name}')" for table in (_host.users, _host.analyses, _host.candidate_files)
    )
    age = f"timezone('utc', now()) - timestamp '{news.isoformat(sep=' ')}'"
    return sa.literal_column(
        "EXISTS (SELECT FROM pg_stat_activity AS session"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        f" AND application_name <> '{APPLICATION_NAME}' AND backend_xmin IS NOT NULL"
        f" AND (state = 'idle in transaction' AND {_is_recent(age, COURTESY)}"
        f" OR state = 'active' AND xact_start < query_start AND {_is_recent(age, ACTIVE_COURTESY)}"
        " AND EXISTS (SELECT FROM pg_locks WHERE pg_locks.pid = session.pid AND locktype = 'relation'"
        f" AND relation IN ({tables}))))",
        sa.Boolean(),
    )


def _is_recent(age: str, courtesy: timedelta) -> str:
    return f"{age} < interval '{courtesy.total_seconds()} seconds'"


def _bulk_update(basis: Basis, values: Values, unchanged: Condition) -> Any:
    table = basis.table
    given = _given(table, [{"row_id": basis.row_id, **values}])
    new = {name: given.c[name] for name in values}
    conditions = (table.c.id == given.c.row_id, _differs(table, new), unchanged)
    return table.update().where(*conditions).values(new)


def _update_files(basis: Basis, files: Sequence[Values], unchanged: Condition) -> Any:
    """Update the files that nobody holds; return how it all went."""
    state = sa.func.current_setting(_STATE, True)
    if not files:
        return sa.select(state, sa.literal(0), sa.literal(0))
    table, given = _host.candidate_files, _given(_host.candidate_files, files)
    theirs = table.c.analysis_id == basis.row_id
    free = (
        sa.select(given)
        .join(table, table.c.id == given.c.row_id)
        .where(theirs, unchanged)
        .order_by(table.c.id)
        .with_for_update(of=table, skip_locked=True, key_share=True)
        .cte("free")
    )
    new = {name: free.c[name] for name in files[0] if name != "row_id"}
    n_free = sa.select(sa.func.count()).select_from(free).scalar_subquery()
    n_stored = sa.select(sa.func.count()).select_from(table).where(theirs).scalar_subquery()
    answer = sa.select(state, n_free, n_stored)
    if new:
        change = table.update().where(table.c.id == free.c.row_id, _differs(table, new)).values(new)
        answer = answer.add_cte(change.cte("shown"))
    return answer


def _given(table: sa.Table, rows: Sequence[Values]) -> Any:
    types = {"row_id": table.c.id.type, **{name: table.c[name].type for name in rows[0] if name != "row_id"}}
    return recordset(types, as_json(rows))


def _update(connection: Connection, table: sa.Table, rows: Sequence[Values]) -> None:
    names = [name for name in rows[0] if name != "row_id"] if rows else []
    if not names:
        return
    new = {name: sa.bindparam(name, type_=table.c[name].type) for name in names}
    change = table.update().where(table.c.id == sa.bindparam("row_id"), _differs(table, new)).values(new)
    connection.execute(change, [dict(row) for row in rows])


def _differs(table: sa.Table, new: Values) -> Condition:
    """Say whether a row shows something else: an update that changes nothing breaks a snapshot, too."""
    return sa.or_(*(table.c[name].is_distinct_from(value) for name, value in new.items()))
