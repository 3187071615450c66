"""The plan for a row of the host, and its outcome."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from exporters.sql.host.change import Basis, Change, Written


class Projection(enum.Enum):
    """The outcome of an attempt to update a row."""

    DONE = "done"
    BUSY = "busy"
    """The host or another writer has locked the row: try again soon."""
    MISSING = "missing"
    """The row does not exist (yet): try again, with growing pauses."""
    FILES_PENDING = "files_pending"
    """The analysis is up to date; its files are not stored yet."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written to a row of the host."""

    basis: Basis
    change: Change | None
    """None if nothing is written."""
    note: Callable[[Connection, Written | None], Projection]
    """Notes in our own tables what the row then shows."""
    coerced: tuple[str, ...] = ()
    """Columns whose values had to be changed to fit, as ``table.column``."""
