"""Which rows of the host lag behind the newest state of their runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from exporters.sql.database.engine import reading
from exporters.sql.host.shape import has_table
from exporters.sql.schema.host import HOST
from exporters.sql.schema.tables import runs
from telemetry.conventions import RUNNING

FILES_AWAITED: Final = timedelta(days=1)
"""How long after the end of a run its files are awaited."""


def lagging_analyses(engine: Engine) -> list[int]:
    """Return the analyses that lag behind their runs and can be updated.

    Every process calls this when it starts, and after every commit of the host while a row waits. So rows
    that do not exist yet and files that are not stored yet are left out, as are files that are still missing
    a day after the end of their run.
    """
    lately = datetime.now(UTC).replace(tzinfo=None) - FILES_AWAITED
    is_there = has_one(HOST.analyses.c.id == runs.c.analysis_ref)
    are_stored = has_one(HOST.candidate_files.c.analysis_id == runs.c.analysis_ref)
    behind = sa.select(runs.c.analysis_ref).where(
        runs.c.projected_version < runs.c.version,
        runs.c.analysis_ref.is_not(None),
        runs.c.analysis_gone.is_(False),
        sa.or_(runs.c.status != RUNNING, runs.c.projected_version > 0),
        sa.or_(is_there, runs.c.analysis_seen_at.is_not(None)),
    )
    without_files = sa.select(runs.c.analysis_ref).where(
        runs.c.files_pending > 0, runs.c.ended_at > lately, runs.c.analysis_ref.is_not(None), are_stored
    )
    with reading(engine) as connection:
        has_files = has_table(connection, HOST.candidate_files.name)
        query = sa.union(behind, without_files) if has_files else behind.distinct()
        return list(connection.execute(query).scalars())


def has_one(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Return the condition that the host has such a row, as a subquery for each run.

    With EXISTS, PostgreSQL would read the whole table, because it expects a third of all runs to lag.
    """
    return sa.select(sa.literal(1)).where(condition).limit(1).correlate(runs).scalar_subquery().is_not(None)


def lagging_users(engine: Engine) -> list[int]:
    """Return the users whose totals lack the newest state of an ended run."""
    behind = runs.c.user_version < runs.c.version
    query = sa.select(runs.c.user_ref).where(behind, runs.c.user_ref.is_not(None), runs.c.status != RUNNING)
    with reading(engine) as connection:
        return list(connection.execute(query.distinct()).scalars())
