"""A lease in the database, by which one of all processes exports certain gauges.

The holder renews it with every look at the database, so it needs no session of its own: it works behind a
pooler and on SQLite, and belongs to the tables that it lies in. An advisory lock of a session would get lost
behind a pooler in transaction mode, and one of a transaction would occupy a connection for ever.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from exporters.sql.database.engine import reading, transaction
from exporters.sql.database.statements import upsert
from exporters.sql.schema.tables import found as table
from exporters.sql.schema.tables import utc_now

LEASED_PERIODS: Final = 2.5
"""For how many periods a lease holds: a holder that fails once renews it in time."""
CLOCK_SECONDS: Final = 1.0
"""Resolution of SQLite's clock. A holder stops that much earlier than another process may begin."""

# It also goes on while the machine is suspended.
clock: Final[Callable[[], float]] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)
"""Seconds on a clock that nobody sets."""


class Lease:
    """The lease of some gauges, as one process sees it."""

    def __init__(self, engine: Engine, name: str, holder: str, period: float) -> None:
        """Begin without the lease.

        Args:
            engine: connects to the tables.
            name: what is leased, at most 64 characters.
            holder: id of this process.
            period: seconds between two renewals.
        """
        self._engine = engine
        self._name = name
        self._holder = holder
        self._seconds = LEASED_PERIODS * period + CLOCK_SECONDS
        self._turn = 0
        self._noted: str | None = None
        """What this process has written last."""
        self._held_until = 0.0

    @property
    def is_held(self) -> bool:
        """Whether this process holds the lease, and no other can."""
        return clock() < self._held_until

    def renew(self) -> bool:
        """Renew the lease, or take it if nobody holds it; return whether this process holds it.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
        """
        before = clock()
        noted, is_free = self._look()
        if not is_free or not self._take(noted):
            self._held_until = 0.0
            return False
        self._held_until = before + self._seconds - CLOCK_SECONDS
        return self.is_held

    def release(self) -> None:
        """Give the lease back, so that another process can take it at once.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
        """
        self._held_until = 0.0
        if self._noted is None:
            return
        with transaction(self._engine) as connection:
            still = sa.and_(table.c.name == self._name, table.c.figures == self._noted)
            connection.execute(table.update().where(still).values(asked_at=None, figures=None))
        self._noted = None

    def _look(self) -> tuple[str | None, bool]:
        """Return what the last holder noted, and whether this process may take the lease."""
        query = sa.select(table.c.asked_at, table.c.figures, utc_now()).where(table.c.name == self._name)
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
        if row is None or row[0] is None or row[1] is None:
            return (row[1] if row else None), True
        noted = _parsed(row[1])
        if noted.get("holder") == self._holder:
            return row[1], True
        asked_at, now = _naive(row[0]), _naive(row[2])
        return row[1], asked_at + timedelta(seconds=_seconds(noted, self._seconds)) < now

    def _take(self, noted: str | None) -> bool:
        """Write this process into the lease, unless another was faster."""
        self._turn += 1
        note = json.dumps({"holder": self._holder, "turn": self._turn, "seconds": self._seconds})
        with transaction(self._engine) as connection:
            upsert(connection, table, [{"name": self._name}])
            unchanged = sa.and_(table.c.name == self._name, table.c.figures.is_not_distinct_from(noted))
            change = table.update().where(unchanged).values(asked_at=utc_now(), figures=note)
            is_taken = connection.execute(change).rowcount == 1
        if is_taken:
            self._noted = note
        return is_taken


def _parsed(text: str) -> dict[str, Any]:
    with suppress(ValueError):
        noted = json.loads(text)
        if isinstance(noted, dict):
            return noted
    return {}


def _seconds(noted: dict[str, Any], default: float) -> float:
    """Return for how long the holder has taken the lease: its period may differ from that of this process."""
    seconds = noted.get("seconds")
    return seconds if isinstance(seconds, int | float) else default


def _naive(value: datetime | str) -> datetime:
    """Return a time, which SQLite returns as text if it is computed."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value
