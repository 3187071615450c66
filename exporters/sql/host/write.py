"""How rows of the host's are written: everything is computed before, and compared again under the lock.

What was computed from something that has changed since is not written, but computed again: so the last
writer has seen what the others wrote. PostgreSQL locks the rows for one round trip, however long this process
then waits for its turn. No lock is waited for: rows that are busy come again later.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection, Engine

from exporters.sql.database.engine import APPLICATION_NAME
from exporters.sql.database.round_trip import as_text, at_once
from exporters.sql.database.statements import as_json, differs, recordset, update_rows
from exporters.sql.schema.host import HOST

from .change import Basis, Change, Condition, Query, Written, look

COURTESY: Final = timedelta(seconds=60)
"""For how long after news of a run its rows wait while a transaction of the host's idles with a snapshot."""
ACTIVE_COURTESY: Final = timedelta(seconds=10)
"""The same while one that has used the host's tables executes a statement: it may be at any level."""

# Variables of the transaction in which PostgreSQL finds the values: its statements are always the same.
_STATE: Final = "telemetry.state"
"""`held` once the row is locked, `unchanged` once the basis was compared."""
_BASIS: Final = "telemetry.basis"
_ROW: Final = "telemetry.row"
_FILES: Final = "telemetry.files"
_MORE: Final = "telemetry.more"


def write(engine: Engine, basis: Basis, change: Change, *, take_back: bool = False) -> Written | None:
    """Write on PostgreSQL; return None if the row is busy, or its basis is another by now.

    Args:
        engine: the writer's.
        basis: what the change was computed from.
        change: what is written.
        take_back: whether this is only a trial.
    """
    more = change.more
    variables = {_BASIS: json.dumps(_given_basis(basis))}
    if change.values:
        variables[_ROW] = as_json([{"row_id": basis.row_id, **change.values}])
    if change.files:
        variables[_FILES] = as_json(change.files)
    if more is not None:
        variables[_MORE] = as_json(more.rows)
    text = _statements(
        basis.table,
        basis.query,
        tuple(change.values),
        tuple(change.files[0]) if change.files else (),
        None if more is None else (more.table, tuple(more.rows[0]), more.statement),
    )
    state, free, stored = at_once(engine, variables, text, take_back=take_back)
    return Written(free, stored) if state == "unchanged" else None


def _given_basis(basis: Basis) -> dict[str, Any]:
    news = basis.news
    return {
        "row_id": basis.row_id,
        "seen": basis.seen,
        "idle_until": None if news is None else str(news + COURTESY),
        "active_until": None if news is None else str(news + ACTIVE_COURTESY),
    }


@lru_cache(maxsize=64)  # there are as many as ways to leave out a column of the host's that is not there
def _statements(
    table: sa.Table,
    query: Query,
    names: tuple[str, ...],
    file_names: tuple[str, ...],
    more: tuple[sa.Table, tuple[str, ...], Callable[[Any, Condition], Any]] | None,
) -> str:
    """Return the statements as one text, without values: to put it together takes longer than to run it."""
    unchanged = _is_state("unchanged")
    statements = [_hold(table), _compare(query)]
    if names:
        statements.append(_update_row(table, names, unchanged))
    if more is not None:
        of, columns, statement = more
        statements.append(statement(_rows(of, columns, _MORE), unchanged))
    statements.append(_update_files(file_names, unchanged))
    return as_text(statements)


def write_within(connection: Connection, basis: Basis, change: Change) -> Written | None:
    """Write on SQLite, in a transaction that has the lock; return None if the basis is another by now."""
    if look(connection, basis.query, basis.row_id) != basis.seen:
        return None
    row = {"row_id": basis.row_id, **change.values}
    update_rows(connection, basis.table, [row], only_changed=True)
    update_rows(connection, HOST.candidate_files, change.files, only_changed=True)
    if change.more is not None:
        change.more.write(connection)
    return Written(len(change.files), len(change.files))


def _hold(table: sa.Table) -> Any:
    """Lock the row in a statement of its own: only the next one sees what others committed until then."""
    row = sa.select(table.c.id).where(table.c.id == _basis("row_id", sa.BigInteger()), ~_is_snapshot_kept())
    held = row.with_for_update(skip_locked=True, key_share=True).subquery()
    return sa.select(sa.func.set_config(_STATE, "held", True)).select_from(held)


def _compare(query: Query) -> Any:
    same = query(_basis("row_id", sa.BigInteger())).scalar_subquery() == _basis("seen", sa.Text())
    return sa.select(sa.func.set_config(_STATE, "unchanged", True)).where(_is_state("held"), same)


def _is_state(name: str) -> Condition:
    return sa.func.current_setting(_STATE, True) == name


def _basis(name: str, kind: Any) -> sa.ColumnElement[Any]:
    """Return a value of the basis, as PostgreSQL finds it."""
    given = sa.cast(sa.func.current_setting(_BASIS), postgresql.JSON)
    return sa.cast(given[name].astext, kind)


def _is_snapshot_kept() -> Condition:
    """Say whether the host, at REPEATABLE READ, could fail to update a row because we did meanwhile.

    Between its statements, a transaction keeps a snapshot from REPEATABLE READ on, and not below. It is
    waited for, but not for ever: a dump or a report keeps a snapshot for hours.
    """
    tables = ", ".join(
        f"to_regclass('{table.name}')" for table in (HOST.users, HOST.analyses, HOST.candidate_files)
    )
    return sa.literal_column(
        "EXISTS (SELECT FROM pg_stat_activity AS session"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        f" AND application_name <> '{APPLICATION_NAME}' AND backend_xmin IS NOT NULL"
        f" AND (state = 'idle in transaction' AND {_is_before('idle_until')}"
        f" OR state = 'active' AND xact_start < query_start AND {_is_before('active_until')}"
        " AND EXISTS (SELECT FROM pg_locks WHERE pg_locks.pid = session.pid AND locktype = 'relation'"
        f" AND relation IN ({tables}))))",
        sa.Boolean(),
    )


def _is_before(name: str) -> str:
    moment = f"(current_setting('{_BASIS}')::json ->> '{name}')::timestamp"
    return f"timezone('utc', now()) < {moment}"  # without news, neither true nor false


def _update_row(table: sa.Table, names: tuple[str, ...], unchanged: Condition) -> Any:
    given = _rows(table, ("row_id", *names), _ROW)
    new = {name: given.c[name] for name in names}
    conditions = (table.c.id == given.c.row_id, differs(table, new), unchanged)
    return table.update().where(*conditions).values(new)


def _update_files(names: tuple[str, ...], unchanged: Condition) -> Any:
    """Update the files that nobody holds; return how it all went."""
    state = sa.func.current_setting(_STATE, True)
    if not names:
        return sa.select(state, sa.literal(0), sa.literal(0))
    table = HOST.candidate_files
    given = _rows(table, names, _FILES)
    theirs = table.c.analysis_id == _basis("row_id", sa.BigInteger())
    free = (
        sa.select(given)
        .join(table, table.c.id == given.c.row_id)
        .where(theirs, unchanged)
        .order_by(table.c.id)
        .with_for_update(of=table, skip_locked=True, key_share=True)
        .cte("free")
    )
    new = {name: free.c[name] for name in names if name != "row_id"}
    n_free = sa.select(sa.func.count()).select_from(free).scalar_subquery()
    n_stored = sa.select(sa.func.count()).select_from(table).where(theirs).scalar_subquery()
    answer = sa.select(state, n_free, n_stored)
    if new:
        change = table.update().where(table.c.id == free.c.row_id, differs(table, new)).values(new)
        answer = answer.add_cte(change.cte("shown"))
    return answer


def _rows(table: sa.Table, names: Sequence[str], variable: str) -> Any:
    """Return the rows in a variable as a table; ``row_id`` has the type of the id."""
    types = {name: table.c["id" if name == "row_id" else name].type for name in names}
    return recordset(types, sa.func.current_setting(variable))
