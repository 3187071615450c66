"""What all parts of the projection share: the host's tables, rows of ours, and what is noted of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, reduce
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.statements import GIVEN, as_json, recordset
from exporters.sql.schema.tables import runs

COPIED: Final = ("exceeded_resume_limit", "user_chose_override")
"""Columns of the host's own that views need, and may not read from its table."""

Row = Mapping[str, Any]
"""A row of one of our tables."""
Run = Row
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


def update_runs(connection: Connection, rows: list[dict[str, Any]], version: str) -> None:
    """Update runs by their ``key``, unless a newer ``version`` has been noted meanwhile."""
    if not rows:
        return
    names = [name for name in rows[0] if name != "key"]
    if connection.dialect.name == "postgresql":
        connection.execute(_bulk_update_of_runs(tuple(names), version), {GIVEN: as_json(rows)})
        return
    given = [{"key" if name == "key" else f"new_{name}": row[name] for name in row} for row in rows]
    connection.execute(_update_of_runs(tuple(names), version), given)


@cache
def _bulk_update_of_runs(names: tuple[str, ...], version: str) -> Any:
    types = {"key": runs.c.run_id.type, **{name: runs.c[name].type for name in names}}
    given = recordset(types, sa.bindparam(GIVEN, type_=sa.Text()))
    change = runs.update().where(runs.c.run_id == given.c.key, runs.c[version] <= given.c[version])
    return change.values({name: given.c[name] for name in names})


@cache
def _update_of_runs(names: tuple[str, ...], version: str) -> Any:
    change = runs.update().where(
        runs.c.run_id == sa.bindparam("key"), runs.c[version] <= sa.bindparam(f"new_{version}")
    )
    return change.values({name: sa.bindparam(f"new_{name}", type_=runs.c[name].type) for name in names})
