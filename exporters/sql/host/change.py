"""A change of a row of the host's: what is written, and what it was computed from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

Values: TypeAlias = Mapping[str, Any]
Condition: TypeAlias = sa.ColumnElement[bool]
Query: TypeAlias = Callable[[sa.ColumnElement[int]], Any]
"""Makes a query about the row with an id. Queries are cached: to make one takes longer than to run it."""

_ID: Final = sa.bindparam("row_id", type_=sa.BigInteger())


@dataclass(frozen=True, slots=True)
class Basis:
    """What the values of a row were computed from."""

    table: sa.Table
    row_id: int
    query: Query
    """Reads it as one text."""
    seen: str
    """That text, as it was before the values were computed."""
    news: datetime | None
    """When the database last heard of a run that the row may not show yet."""


@dataclass(frozen=True, slots=True)
class More:
    """Rows of a table of our own that are written together with the row."""

    table: sa.Table
    rows: Sequence[Values]
    """All with the same keys, which are columns of ``table``."""
    statement: Callable[[Any, Condition], Any]
    """Makes the statement for PostgreSQL from the rows as a table, and a condition that has to hold."""
    write: Callable[[Connection], object]
    """Writes them on SQLite."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is written if the basis is still the same."""

    values: Values
    """Values of the row."""
    files: Sequence[Values] = ()
    """Values of rows of ``candidate_files``, each with its ``row_id``, all with the same keys."""
    more: More | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """The result of a change."""

    free: int
    """Files that no other session had locked."""
    stored: int
    """Files of the analysis that are stored."""


def look(connection: Connection, query: Query, row_id: int) -> str:
    """Return what the values of a row depend on as one text; empty if there is no such row."""
    return connection.scalar(_kept(query), {"row_id": row_id}) or ""


@lru_cache(maxsize=16)
def _kept(query: Query) -> Any:
    return query(_ID)
