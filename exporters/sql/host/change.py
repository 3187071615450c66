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
"""Makes a query about the row with an id. What is made once and kept is quicker than anything else here."""

_ID: Final = sa.bindparam("row_id", type_=sa.BigInteger())


@dataclass(frozen=True, slots=True)
class Basis:
    """What the values of a row were computed from."""

    table: sa.Table
    row_id: int
    query: Query
    """Puts it into one text."""
    seen: str
    """That text, read before the values were computed."""
    news: datetime | None
    """When the database heard of what the row may not show yet."""


@dataclass(frozen=True, slots=True)
class More:
    """What is written to a table of our own together with the row."""

    table: sa.Table
    rows: Sequence[Values]
    """With the same keys, which are columns of ``table``."""
    statement: Callable[[Any, Condition], Any]
    """Makes the statement for PostgreSQL, of the rows as a table, which holds under a condition."""
    write: Callable[[Connection], object]
    """Writes them on SQLite."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written while the basis is the same."""

    values: Values
    """Of the row."""
    files: Sequence[Values] = ()
    """Of rows of ``candidate_files``: ``row_id``, and values under the same keys for all."""
    more: More | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What a change came to."""

    free: int
    """Files that nobody else held."""
    stored: int
    """Files that are there."""


def look(connection: Connection, query: Query, row_id: int) -> str:
    """Return what the values of a row depend on, as one text; empty where there is no such row."""
    return connection.scalar(_kept(query), {"row_id": row_id}) or ""


@lru_cache(maxsize=16)
def _kept(query: Query) -> Any:
    return query(_ID)
