"""The contents of a part: rows of runs or days of the log, and digests to compare them by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from exporters.export.cells import exact, kinds_of, to_text
from exporters.sql.database.statements import Row
from exporters.sql.schema import tables as schema

Key = str
"""Id of a run, or a day of the log, as text."""
Digests = dict[Key, int]
"""Sums of hashes over all rows of a key."""


@dataclass(frozen=True, slots=True)
class Contents:
    """One kind of contents: the tables, and the column by which their rows belong together."""

    name: str
    key: str
    """Name of the column that is the key."""
    tables: tuple[sa.Table, ...]


RUNS: Final = Contents(
    "runs",
    "run_id",
    (schema.runs, schema.fragments, schema.stage_usage, schema.counters, schema.documents),
)
LOG: Final = Contents("log", "log_date", (schema.system_health_log,))
CONTENTS: Final = {contents.name: contents for contents in (RUNS, LOG)}


def exact_rows(table: sa.Table, rows: Iterable[Any]) -> list[Row]:
    """Return rows of the database with exact values, as files have them."""
    kinds = kinds_of(table)
    return [{name: exact(kinds[name], value) for name, value in row.items()} for row in rows]


def add_digest(digests: Digests, contents: Contents, table: sa.Table, row: Row) -> None:
    """Add a row to ``digests``: all its values count, the order of rows does not."""
    text = json.dumps([table.name, *(None if value is None else to_text(value) for value in row.values())])
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    key = key_of(contents, row)
    digests[key] = (digests.get(key, 0) + number) % 2**256


def key_of(contents: Contents, row: Row) -> Key:
    """Return the key of a row."""
    return str(row[contents.key])
