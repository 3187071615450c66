"""Writes rows of the host. Values are computed before; under the lock, their basis is compared again.

If the basis has changed, nothing is written, and the values are computed again; so the last writer includes
what the others wrote. PostgreSQL holds the locks for one round trip only, even if this process is stopped
meanwhile. A locked row is tried again later, not waited for.
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

from .change import Basis, Change, Condition, Query, Written, read_basis

COURTESY: Final = timedelta(seconds=60)
"""How long after news of a run its rows wait for an idle host transaction at REPEATABLE READ."""
ACTIVE_COURTESY: Final = timedelta(seconds=10)
"""The same for one that has used the host's tables and executes a statement, at any isolation level."""

# Settings of the transaction, which hold the values, so that the text of the statements is always the same.
_STATE: Final = "telemetry.state"
"""`held` once the row is locked, then `unchanged` if the basis is still the same."""
_BASIS: Final = "telemetry.basis"
_ROW: Final = "telemetry.row"
_FILES: Final = "telemetry.files"
_MORE: Final = "telemetry.more"


def write(engine: Engine, basis: Basis, change: Change, *, roll_back: bool = False) -> Written | None:
    """Write on PostgreSQL; return None if the row is locked, or its basis has changed.

    Args:
        engine: an engine for PostgreSQL.
        basis: what the change was computed from.
        change: what to write.
        roll_back: whether this is a trial, which is rolled back.
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
    state, free, stored = at_once(engine, variables, text, roll_back=roll_back)
    return Written(free, stored) if state == "unchanged" else None


def _given_basis(basis: Basis) -> dict[str, Any]:
    news = basis.news
    return {
        "row_id": basis.row_id,
        "seen": basis.seen,
        "idle_until": None if news is None else str(news + COURTESY),
        "active_until": None if news is None else str(news + ACTIVE_COURTESY),
    }


@lru_cache(maxsize=64)  # one for each set of columns of the host's tables
def _statements(
    table: sa.Table,
    query: Query,
    names: tuple[str, ...],
    file_names: tuple[str, ...],
    more: tuple[sa.Table, tuple[str, ...], Callable[[Any, Condition], Any]] | None,
) -> str:
    """Return the statements as one text, without values; cached, because compiling them takes long."""
    unchanged = _is_state("unchanged")
    statements = [_lock_row(table), _compare_basis(query)]
    if names:
        statements.append(_update_row(table, names, unchanged))
    if more is not None:
        of, columns, statement = more
        statements.append(statement(_rows(of, columns, _MORE), unchanged))
    statements.append(_update_files(file_names, unchanged))
    return as_text(statements)


def write_within(connection: Connection, basis: Basis, change: Change) -> Written | None:
    """Write on SQLite, in a transaction that holds the lock; return None if the basis has changed."""
    if read_basis(connection, basis.query, basis.row_id) != basis.seen:
        return None
    row = {"row_id": basis.row_id, **change.values}
    update_rows(connection, basis.table, [row], only_changed=True)
    update_rows(connection, HOST.candidate_files, change.files, only_changed=True)
    if change.more is not None:
        change.more.write(connection)
    return Written(len(change.files), len(change.files))


def _lock_row(table: sa.Table) -> Any:
    """Lock the row in a separate statement: only the next one sees all that others have committed."""
    row = sa.select(table.c.id).where(table.c.id == _basis("row_id", sa.BigInteger()), ~_is_snapshot_kept())
    held = row.with_for_update(skip_locked=True, key_share=True).subquery()
    return sa.select(sa.func.set_config(_STATE, "held", True)).select_from(held)


def _compare_basis(query: Query) -> Any:
    same = query(_basis("row_id", sa.BigInteger())).scalar_subquery() == _basis("seen", sa.Text())
    return sa.select(sa.func.set_config(_STATE, "unchanged", True)).where(_is_state("held"), same)


def _is_state(name: str) -> Condition:
    return sa.func.current_setting(_STATE, True) == name


def _basis(name: str, kind: Any) -> sa.ColumnElement[Any]:
    """Return the expression for a value of the basis."""
    given = sa.cast(sa.func.current_setting(_BASIS), postgresql.JSON)
    return sa.cast(given[name].astext, kind)


def _is_snapshot_kept() -> Condition:
    """Return the condition that our update could make an update of the host fail at REPEATABLE READ.

    A transaction keeps a snapshot between its statements only at REPEATABLE READ and above. We wait for it,
    but not for ever: a dump or a report keeps its snapshot for hours.
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
    return f"timezone('utc', now()) < {moment}"  # NULL without news


def _update_row(table: sa.Table, names: tuple[str, ...], unchanged: Condition) -> Any:
    given = _rows(table, ("row_id", *names), _ROW)
    new = {name: given.c[name] for name in names}
    conditions = (table.c.id == given.c.row_id, differs(table, new), unchanged)
    return table.update().where(*conditions).values(new)


def _update_files(names: tuple[str, ...], unchanged: Condition) -> Any:
    """Return the statement that updates unlocked files, and selects the state and the numbers of files."""
    state = sa.func.current_setting(_STATE, True)
    if not names:
        return sa.select(state, sa.literal(0), sa.literal(0))
    table = HOST.candidate_files
    given = _rows(table, names, _FILES)
    of_analysis = table.c.analysis_id == _basis("row_id", sa.BigInteger())
    free = (
        sa.select(given)
        .join(table, table.c.id == given.c.row_id)
        .where(of_analysis, unchanged)
        .order_by(table.c.id)
        .with_for_update(of=table, skip_locked=True, key_share=True)
        .cte("free")
    )
    new = {name: free.c[name] for name in names if name != "row_id"}
    n_free = sa.select(sa.func.count()).select_from(free).scalar_subquery()
    n_stored = sa.select(sa.func.count()).select_from(table).where(of_analysis).scalar_subquery()
    answer = sa.select(state, n_free, n_stored)
    if new:
        change = table.update().where(table.c.id == free.c.row_id, differs(table, new)).values(new)
        answer = answer.add_cte(change.cte("shown"))
    return answer


def _rows(table: sa.Table, names: Sequence[str], variable: str) -> Any:
    """Return the rows in a setting as a table; ``row_id`` has the type of the column ``id``."""
    types = {name: table.c["id" if name == "row_id" else name].type for name in names}
    return recordset(types, sa.func.current_setting(variable))
