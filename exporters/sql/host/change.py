"""A change of a row of the host, and the basis from which it was computed."""

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
"""Makes a query about the row with an id. Queries are cached: making one takes longer than running it."""

_ID: Final = sa.bindparam("row_id", type_=sa.BigInteger())


@dataclass(frozen=True, slots=True)
class Basis:
    """The basis from which the values of a row were computed."""

    table: sa.Table
    row_id: int
    query: Query
    """The query that reads the basis as one text."""
    seen: str
    """The result of the query before the values were computed."""
    news: datetime | None
    """The last time at which a snapshot arrived of a run that the row may not show yet."""


@dataclass(frozen=True, slots=True)
class More:
    """Rows of a table of our own that are written together with the row."""

    table: sa.Table
    rows: Sequence[Values]
    """All have the same keys, which are columns of ``table``."""
    statement: Callable[[Any, Condition], Any]
    """Makes the statement for PostgreSQL from the rows (as a table) and a condition that must hold."""
    write: Callable[[Connection], object]
    """Writes the rows on SQLite."""


@dataclass(frozen=True, slots=True)
class Change:
    """The values that are written if the basis is still the same."""

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


def read_basis(connection: Connection, query: Query, row_id: int) -> str:
    """Return the basis of a row as one text; empty if the row does not exist."""
    return connection.scalar(_made(query), {"row_id": row_id}) or ""


@lru_cache(maxsize=16)
def _made(query: Query) -> Any:
    return query(_ID)
