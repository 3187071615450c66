"""What a part of an archive holds: rows of runs or days of the log, and digests to compare them by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from exporters.export.cells import Row, exact, kinds_of, to_text
from exporters.sql.schema import tables as schema

Key = str
"""Which run, or which day, rows belong to."""
Digests = dict[Key, int]
"""A sum over everything that rows say, by their key."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What sort of rows a part holds."""

    name: str
    key: str
    """The column that tells which rows belong together."""
    tables: tuple[sa.Table, ...]


RUNS: Final = Contents(
    "runs",
    "run_id",
    (schema.runs, schema.fragments, schema.stage_usage, schema.counters, schema.documents),
)
LOG: Final = Contents("log", "log_date", (schema.system_health_log,))
CONTENTS: Final = {contents.name: contents for contents in (RUNS, LOG)}


def exact_rows(table: sa.Table, rows: Iterable[Any]) -> list[Row]:
    """Return rows of a database with the values that files keep."""
    kinds = kinds_of(table)
    return [{name: exact(kinds[name], value) for name, value in row.items()} for row in rows]


def add_digest(digests: Digests, contents: Contents, table: sa.Table, row: Row) -> None:
    """Add what a row says, every value of it; the order of rows does not matter."""
    said = json.dumps([table.name, *(None if value is None else to_text(value) for value in row.values())])
    number = int.from_bytes(hashlib.sha256(said.encode()).digest())
    key = key_of(contents, row)
    digests[key] = (digests.get(key, 0) + number) % 2**256


def key_of(contents: Contents, row: Row) -> Key:
    """Return what a row belongs to."""
    return str(row[contents.key])
