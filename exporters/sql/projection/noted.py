"""What all parts of the projection share: the host's tables, rows of ours, and what is noted of runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.statements import Row
from exporters.sql.schema.tables import runs

COPIED: Final = ("exceeded_resume_limit", "user_chose_override")
"""Columns of the host's own that views need, and may not read from its table."""

Run: TypeAlias = Row
"""A row of telemetry_runs."""


def joined(parts: Sequence[Any]) -> sa.ColumnElement[Any]:
    """Return values as one text, with spaces between them."""
    return reduce(lambda one, other: one.concat(sa.literal(" ", sa.Text())).concat(other), parts)


def lock_free(connection: Connection, run_ids: Iterable[str]) -> list[str]:
    """Lock those of our runs that nobody else has locked, in an order that all keep to."""
    wanted = sorted(run_ids)
    if not wanted or connection.dialect.name == "sqlite":
        return wanted
    query = sa.select(runs.c.run_id).where(runs.c.run_id.in_(wanted)).order_by(runs.c.run_id)
    return list(connection.scalars(query.with_for_update(skip_locked=True)))


def naive(created: datetime | None) -> datetime | None:
    """Return a time of the host's as the naive UTC of our columns: its own column may carry a time zone."""
    return created.astimezone(UTC).replace(tzinfo=None) if created and created.tzinfo else created
