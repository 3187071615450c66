"""Statements over many rows, for both SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

Row: TypeAlias = Mapping[str, Any]
"""A row, by the names of its columns."""

BULK_ROWS: Final = 20
"""The number of rows from which PostgreSQL gets all of them in one parameter."""
GIVEN: Final = "given"
"""The name of that parameter, and of the table made from it."""


def as_json(rows: Sequence[Row]) -> str:
    """Return rows as a JSON array that :func:`recordset` reads."""
    return json.dumps(rows, default=str)


def insert(dialect: str, table: sa.Table) -> Any:
    """Return an INSERT that supports ON CONFLICT."""
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
    """Insert ``rows``, or update those that exist; return the number of rows that were written.

    Args:
        connection: a connection in a transaction.
        table: a table with a primary key.
        rows: the rows, all with the same keys.
        by: unique columns that identify a row; default: the primary key.
        keep: columns that an update does not change.
        where: the condition under which an existing row is updated.
    """
    if not rows:
        return 0
    names, is_bulk = tuple(rows[0]), _is_bulk(connection, rows)
    # A statement with a condition is not cached, because the condition may contain values.
    make = _upsert if where is not None else _cached_upsert
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
        # Without WHERE, PostgreSQL would parse the ON of ON CONFLICT as that of a join.
        rows = rows.from_select(list(names), sa.select(given).where(sa.true()))
    keys = set(by) or {column.name for column in table.primary_key}
    changes = {name: rows.excluded[name] for name in names if name not in keys and name not in keep}
    if changes:
        statement = rows.on_conflict_do_update(index_elements=sorted(keys), set_=changes, where=where)
    else:
        statement = rows.on_conflict_do_nothing(index_elements=sorted(keys))
    return statement.execution_options(preserve_rowcount=True)  # psycopg 3 loses it otherwise


_cached_upsert: Final = cache(_upsert)


def update_rows(
    connection: Connection,
    table: sa.Table,
    rows: Sequence[Row],
    *,
    by: str = "id",
    version: str = "",
    only_changed: bool = False,
) -> None:
    """Update the rows of ``table`` that the ``row_id`` of ``rows`` identify.

    Args:
        connection: a connection in a transaction.
        table: the table to update.
        rows: the rows, all with the same keys.
        by: the column that ``row_id`` refers to.
        version: one of the keys; a row of the table with a higher value in that column is not updated.
        only_changed: whether to skip rows that have these values already.
    """
    names = tuple(name for name in rows[0] if name != "row_id") if rows else ()
    if not names:
        return
    is_bulk = _is_bulk(connection, rows)
    statement = _update(table, names, by, version, only_changed, is_bulk)
    if is_bulk:
        connection.execute(statement, {GIVEN: as_json(rows)})
        return
    # In an UPDATE, a parameter must not have the name of a column.
    parameters = {name: f"new_{name}" for name in (*names, "row_id")}
    given = [{parameter: row[name] for name, parameter in parameters.items()} for row in rows]
    connection.execute(statement, given if len(given) > 1 else given[0])


@cache
def _update(
    table: sa.Table, names: tuple[str, ...], by: str, version: str, only_changed: bool, is_bulk: bool
) -> Any:
    types = {"row_id": table.c[by].type, **{name: table.c[name].type for name in names}}
    new: Mapping[str, Any] = (
        _recordset(types).c
        if is_bulk
        else {name: sa.bindparam(f"new_{name}", type_=kind) for name, kind in types.items()}
    )
    values = {name: new[name] for name in names}
    change = table.update().where(table.c[by] == new["row_id"])
    if version:
        change = change.where(table.c[version] <= new[version])
    if only_changed:
        change = change.where(differs(table, values))
    return change.values(values)


def differs(table: sa.Table, new: Mapping[str, Any]) -> sa.ColumnElement[bool]:
    """Return the condition that an update with these values changes a row."""
    return sa.or_(*(table.c[name].is_distinct_from(value) for name, value in new.items()))


def _is_bulk(connection: Connection, rows: Sequence[Row]) -> bool:
    """Return whether one statement over a JSON array is faster than one for each row."""
    return connection.dialect.name == "postgresql" and len(rows) >= BULK_ROWS


def _recordset(types: Mapping[str, Any]) -> Any:
    """Return rows as a table for PostgreSQL, which are sent as one JSON parameter."""
    return recordset(types, sa.bindparam(GIVEN, type_=sa.Text()))


def recordset(types: Mapping[str, Any], text: sa.ColumnElement[Any]) -> Any:
    """Return the rows of a JSON array as a table for PostgreSQL."""
    columns = [sa.column(name, kind) for name, kind in types.items()]
    records = sa.func.json_to_recordset(sa.cast(text, postgresql.JSON)).table_valued(*columns, name=GIVEN)
    return records.render_derived(with_types=True)


def comparable(connection: Connection, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return a time in a form that can be compared: SQLite stores text, with or without fractions."""
    if connection.dialect.name == "sqlite":
        return sa.func.strftime("%Y-%m-%d %H:%M:%f", column)
    return column
