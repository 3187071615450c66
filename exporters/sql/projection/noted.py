"""Helpers for both kinds of rows: locks on runs, in which is noted what the rows show, and times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.statements import Row
from exporters.sql.schema.tables import runs

COPIED: Final = ("exceeded_resume_limit", "user_chose_override", "cost_usd")
"""The host's own columns that our views need; these must not refer to the host's tables."""

Run: TypeAlias = Row
"""A row of telemetry_runs."""


def copies(row: Mapping[str, Any]) -> Row:
    """Return what is copied of a host's row: our columns with their values."""
    price = row["cost_usd"]
    return {
        "exceeded_resume_limit": row["exceeded_resume_limit"],
        "user_chose_override": row["user_chose_override"],
        # Hosts keep prices in cents or less, and a float is exact to a millionth of a dollar.
        "price_pico": None if price is None else round(float(price) * 10**6) * 10**6,
    }


def joined(parts: Sequence[Any]) -> sa.ColumnElement[Any]:
    """Return the values as one text, separated by spaces."""
    return reduce(lambda one, other: one.concat(sa.literal(" ", sa.Text())).concat(other), parts)


def lock_free(connection: Connection, run_ids: Iterable[str]) -> list[str]:
    """Lock those of the runs that no other session has locked; return them, in the order of all sessions."""
    ordered = sorted(run_ids)
    if not ordered or connection.dialect.name == "sqlite":
        return ordered
    query = sa.select(runs.c.run_id).where(runs.c.run_id.in_(ordered)).order_by(runs.c.run_id)
    return list(connection.scalars(query.with_for_update(skip_locked=True)))


def naive(created: datetime | None) -> datetime | None:
    """Return a time of the host, which may have a time zone, as naive UTC as in our columns."""
    return created.astimezone(UTC).replace(tzinfo=None) if created and created.tzinfo else created
