"""Checks whether telemetry can work with the application's tables, for upgrade, doctor and validate.

A :class:`Problem` says what does not work, and what to do. A column without which telemetry merely knows less
is no problem; see :meth:`exporters.sql.host.columns.Writable.left_out`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.schema.tables import HOST_COLUMNS

from .columns import PAGE
from .needs import NEEDS, OPTIONAL_TABLES, TABLES, Kind
from .shape import Shape, shapes


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason why telemetry cannot work with a table."""

    place: str
    """The table, or `table.column`."""
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.place} {self.text}: {self.remedy}"


_OWN_TABLES: Final = "or keep to telemetry's own tables with --with-base-tables on a database without these"


def problems(connection: Connection, *, with_base_tables: bool = False) -> list[Problem]:
    """Return the problems that prevent an upgrade, by table.

    Args:
        connection: a connection to the application's database.
        with_base_tables: whether missing tables will be created.
    """
    there = shapes(connection)
    found = [] if with_base_tables else list(_missing(connection, there))
    for name in TABLES:
        if name in there:
            found += _of_table(there[name], connection.dialect.name)
    return found


def lost(connection: Connection) -> list[Problem]:
    """Return the columns that telemetry added to a migrated database and that were dropped since."""
    return [
        Problem(
            f"{table}.{column.name}", "is not there, though telemetry adds it", "flask telemetry db upgrade"
        )
        for table, shape in shapes(connection).items()
        for column in HOST_COLUMNS[table]
        if column.name not in shape.types
    ]


def _missing(connection: Connection, there: dict[str, Shape]) -> Iterator[Problem]:
    names = [name for name in TABLES if name not in there and name not in OPTIONAL_TABLES]
    if not there and not names:
        return
    if not there:
        names = list(TABLES)
    if not names:
        return
    yield Problem(
        "the database",
        f"lacks {', '.join(names)}{_search_path(connection)}",
        "run the host application's own migrations first, or pass --with-base-tables to have them created"
        + "".join(f"; {hint}" for hint in _hints(connection, names)),
    )


def _search_path(connection: Connection) -> str:
    if connection.dialect.name != "postgresql":
        return ""
    schemas = connection.scalar(sa.text("SELECT array_to_string(current_schemas(false), ', ')"))
    return f" in its search_path ({schemas or 'no schema'})"


def _hints(connection: Connection, names: list[str]) -> Iterator[str]:
    """Yield hints at tables of these names that an unqualified, lower-case name does not reach."""
    if connection.dialect.name != "postgresql":
        return
    query = sa.text(
        "SELECT quote_ident(nspname), quote_ident(relname) FROM pg_class"
        " JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND lower(relname) = :name"
        " AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' ORDER BY 1, 2"
    )
    for name in names:
        for schema, table in connection.execute(query, {"name": name}):
            if table != name:
                yield f"there is {schema}.{table}, which needs its name in lower case"
            else:
                yield f"there is {schema}.{table}: put {schema} on the search_path of this database or role"


def _of_table(shape: Shape, dialect: str) -> Iterator[Problem]:
    if shape.sort in ("view", "foreign"):
        word = "a view" if shape.sort == "view" else "a foreign table"
        remedy = f"telemetry adds columns to the table itself: give that this name, {_OWN_TABLES}"
        yield Problem(shape.name, f"is {word}", remedy)
        return
    for needed in NEEDS:
        if needed.table != shape.name or not needed.is_required:
            continue
        place = f"{shape.name}.{needed.column}"
        if needed.column not in shape.types:
            yield Problem(place, "is not there", f"add it, {_whole_number(needed.column)}; see {PAGE}")
        elif not shape.holds(needed.column, Kind.KEY, dialect):
            type_name = shape.types[needed.column] or "without a type"
            remedy = f"it has to be {_whole_number(needed.column)}; {_remedy_for(needed.column)}; see {PAGE}"
            yield Problem(place, f"is {type_name}", remedy)
        elif needed.column == "id" and "id" not in shape.unique:
            yield Problem(place, "is not unique by itself", "add a unique constraint on it alone")


def _whole_number(column: str) -> str:
    return f"a whole number (INTEGER or BIGINT{', which serial and identity are' if column == 'id' else ''})"


def _remedy_for(column: str) -> str:
    if column == "id":
        return f"make the primary key one, with the present one beside it as a unique column, {_OWN_TABLES}"
    return "make it one, as the primary key it refers to"
