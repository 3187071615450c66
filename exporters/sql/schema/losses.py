"""The data that a downgrade drops: whole tables, and columns of the application's tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .tables import added_objects

BASE_TABLES: Final = ("users", "analyses", "candidate_files")
"""Tables that hold the application's own data, also where ``--with-base-tables`` created them."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A table or a column that is dropped, and how many rows lose data with it."""

    table: str
    column: str | None
    """None for the whole table."""
    rows: int
    """For a column, the rows with a value in it."""

    @property
    def is_base(self) -> bool:
        """Whether it is a table with the application's own data."""
        return self.column is None and self.table in BASE_TABLES

    def __str__(self) -> str:
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        if self.column is not None:
            return f"column {self.table}.{self.column}: a value in {rows}"
        return f"table {self.table}: {rows}{', the data of the application itself' if self.is_base else ''}"


def losses(connection: Connection, revisions: Collection[str]) -> list[Loss]:
    """Return what a downgrade of ``revisions`` drops, in alphabetical order, the application's tables first.

    Columns without any value are left out, as are indexes and views, which hold no data of their own.
    """
    inspector = sa.inspect(connection)
    if not inspector.has_table(added_objects.name):
        return []
    there = set(inspector.get_table_names())
    added = connection.execute(
        sa.select(added_objects.c.table_name, added_objects.c.object_type, added_objects.c.object_name)
        .where(added_objects.c.revision.in_(list(revisions)), added_objects.c.table_name.in_(list(there)))
        .order_by(added_objects.c.table_name, added_objects.c.object_name)
    ).all()
    tables = [row.table_name for row in added if row.object_type == "table"]
    columns: dict[str, list[str]] = {}
    for row in added:
        if row.object_type == "column" and row.table_name not in tables:
            columns.setdefault(row.table_name, []).append(row.object_name)
    whole = [Loss(name, None, _count(connection, name)) for name in tables]
    parts = [loss for name, wanted in columns.items() for loss in _values(connection, name, wanted)]
    return sorted(whole, key=lambda loss: not loss.is_base) + parts


def _count(connection: Connection, table: str) -> int:
    return int(connection.scalar(sa.select(sa.func.count()).select_from(sa.table(table))) or 0)


def _values(connection: Connection, table: str, wanted: list[str]) -> list[Loss]:
    """Return the columns with values, counted in one pass over the table."""
    present = {column["name"] for column in sa.inspect(connection).get_columns(table)}
    names = [name for name in wanted if name in present]
    if not names:
        return []
    counts = [sa.func.count(sa.column(name)) for name in names]
    found = connection.execute(sa.select(*counts).select_from(sa.table(table))).one()
    return [Loss(table, name, count) for name, count in zip(names, found, strict=True) if count]
