"""The columns of the application's tables that may be read or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.sql.database.engine import transaction
from exporters.sql.schema import tables

from .needs import NEEDS, OPTIONAL_TABLES, Kind, Use, need
from .shape import Shape, shapes

Expression = sa.ColumnElement[Any]

PAGE: Final = "docs/reference/host-tables.md"
"""The page that says what is needed, and what happens without it."""


@dataclass(frozen=True, slots=True)
class Writable:
    """The columns of the application's tables that may be read and written; a missing one is read as NULL."""

    dialect: str
    columns: Mapping[str, frozenset[str]]
    """By table, the columns that our migrations added and that still exist: only these may be written."""
    shapes: Mapping[str, Shape]
    """The tables that exist."""

    @classmethod
    def load(cls, engine: Engine) -> Writable:
        """Read them from the database."""
        with transaction(engine) as connection:
            return cls.of(connection)

    @classmethod
    def of(cls, connection: Connection) -> Writable:
        """Read them in an open transaction."""
        table = tables.added_objects
        query = sa.select(table.c.table_name, table.c.object_name).where(table.c.object_type == "column")
        there = shapes(connection)
        ours: dict[str, set[str]] = {}
        for table_name, column in connection.execute(query):
            if table_name in there and column in there[table_name].types:
                ours.setdefault(table_name, set()).add(column)
        columns = {name: frozenset(names) for name, names in ours.items()}
        return cls(connection.dialect.name, columns, there)

    @property
    def has_files(self) -> bool:
        """Whether there is a table of files that refers to analyses."""
        files = self.shapes.get("candidate_files")
        return files is not None and {"id", "analysis_id"} <= files.types.keys()

    def only(self, table: sa.Table, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of ``values`` that may be written to ``table``."""
        allowed = self.columns.get(table.name, frozenset())
        return {name: value for name, value in values.items() if name in allowed}

    def read(self, table: sa.Table, *names: str) -> list[Expression]:
        """Return columns of ``table`` for a SELECT, with NULL for those that cannot be read."""
        named = ((name, self.column(table, name)) for name in names)
        return [(sa.null() if column is None else column).label(name) for name, column in named]

    def column(self, table: sa.Table, name: str) -> Expression | None:
        """Return an expression for a column; None if it does not exist, or its type does not fit.

        Times are naive UTC, truth values are booleans, and of bytes it is the number.
        """
        shape, needed = self.shapes.get(table.name), need(table.name, name)
        if shape is None or name not in shape.types:
            return None
        if needed is None:
            return table.c[name]
        if not shape.holds(name, needed.kind, self.dialect):
            return None
        return _expression(self.dialect, table.c[name], needed.kind, shape.types[name])

    def left_out(self, *uses: Use) -> list[str]:
        """Return a phrase for each column that cannot be read: what is wrong, and what is lost without it.

        Args:
            uses: limits the result to columns that are read for these; default: all.
        """
        phrases = [
            f"{name}, a table that is not there ({lost})"
            for name, lost in OPTIONAL_TABLES.items()
            if name not in self.shapes
        ]
        for needed in NEEDS:
            shape = self.shapes.get(needed.table)
            if shape is None or needed.is_required or (uses and needed.use not in uses):
                continue
            if not shape.holds(needed.column, needed.kind, self.dialect):
                why = _why(shape, needed.column, needed.kind)
                phrases.append(f"{needed.table}.{needed.column}{why} ({needed.without.rstrip('.')})")
        return phrases


def _why(shape: Shape, column: str, kind: Kind) -> str:
    if column not in shape.types:
        return ", which is not there"
    return f", which is {shape.types[column] or 'without a type'} and no {kind.value}"


@cache  # making an expression takes longer than running it
def _expression(dialect: str, column: sa.Column[Any], kind: Kind, type_name: str) -> Expression:
    if dialect == "sqlite":
        return _of_sqlite(column, kind)
    return _of_postgresql(column, kind, type_name)


def _of_postgresql(column: sa.Column[Any], kind: Kind, type_name: str) -> Expression:
    if kind is Kind.MOMENT and type_name == "timestamptz":
        return sa.func.timezone("utc", column, type_=sa.DateTime())
    if kind is Kind.MOMENT and type_name == "date":
        return sa.cast(column, sa.DateTime())
    if kind is Kind.TRUTH and type_name != "bool":
        return sa.type_coerce(column, sa.Integer()) != 0
    if kind is Kind.TEXT and type_name not in ("text", "varchar"):
        return sa.cast(column, sa.Text())
    if kind is Kind.BYTES:
        return sa.func.octet_length(column, type_=sa.BigInteger())
    return column


def _of_sqlite(column: sa.Column[Any], kind: Kind) -> Expression:
    """Return a column, with NULL for values of another type, which SQLite accepts."""
    stored: Expression = sa.func.typeof(column)
    if kind is Kind.MOMENT:
        is_moment = sa.and_(stored == "text", sa.func.datetime(column).is_not(None))
        return sa.case((is_moment, column))
    if kind is Kind.NUMBER:
        return sa.case((stored.in_(("integer", "real")), column))
    if kind is Kind.TRUTH:
        return sa.case((stored == "integer", sa.type_coerce(column, sa.Integer()) != 0))
    if kind is Kind.TEXT:
        return sa.case((stored == "text", column))
    if kind is Kind.BYTES:
        return sa.case((stored == "blob", sa.func.length(column, type_=sa.BigInteger())))
    return column
