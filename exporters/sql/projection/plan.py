"""What is to become of a row of the host's, and how that ended."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from exporters.sql.host.change import Basis, Change, Written


class Projection(enum.Enum):
    """How an attempt to project ended."""

    DONE = "done"
    BUSY = "busy"
    """The host or another writer holds the row: try again soon."""
    MISSING = "missing"
    """The row is not there (yet): try again, ever more rarely."""
    FILES_PENDING = "files_pending"
    """The analysis is up to date; its files are not stored yet."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of a row of the host's."""

    basis: Basis
    change: Change | None
    """None where nothing is written."""
    note: Callable[[Connection, Written | None], Projection]
    """Notes in our own tables what the row shows then."""
    coerced: tuple[str, ...] = ()
    """Columns whose values had to be made to fit, as ``table.column``."""
