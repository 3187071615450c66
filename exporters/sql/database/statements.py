"""Statements over many rows, for SQLite and PostgreSQL alike."""

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
"""Rows from which on PostgreSQL gets them in one parameter."""
GIVEN: Final = "given"
"""Name of that parameter, and of the table that it is made to."""


def as_json(rows: Sequence[Row]) -> str:
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


def update_rows(
    connection: Connection,
    table: sa.Table,
    rows: Sequence[Row],
    *,
    by: str = "id",
    version: str = "",
    only_changed: bool = False,
) -> None:
    """Update the rows of ``table`` that ``rows`` name by their ``row_id``.

    Args:
        connection: in a transaction.
        table: what is updated.
        rows: all with the same keys.
        by: the column that ``row_id`` is of.
        version: a column among the keys; a row with a higher version there stays as it is.
        only_changed: whether to leave alone rows that have these values already.
    """
    names = tuple(name for name in rows[0] if name != "row_id") if rows else ()
    if not names:
        return
    is_bulk = _is_bulk(connection, rows)
    statement = _update(table, names, by, version, only_changed, is_bulk)
    if is_bulk:
        connection.execute(statement, {GIVEN: as_json(rows)})
        return
    # No parameter may be called as a column of the table is.
    given = [{f"new_{name}": row[name] for name in (*names, "row_id")} for row in rows]
    connection.execute(statement, given)


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
    """Return the condition that a row has not all of these values: to update it changes something."""
    return sa.or_(*(table.c[name].is_distinct_from(value) for name, value in new.items()))


def _is_bulk(connection: Connection, rows: Sequence[Row]) -> bool:
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
