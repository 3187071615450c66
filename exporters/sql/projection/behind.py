"""Which rows of the host's do not show the newest state of their runs."""

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
"""How long after a run its files may still be stored."""


def lagging_analyses(engine: Engine) -> list[int]:
    """Return the analyses that do not show the newest state of their runs, and can.

    Every process asks this when it starts, and after each commit of the host's while it waits for something:
    a row that is not there, or files that are not stored, cost no attempt until they are. Files that were
    not stored a day after their run ended are not asked for again.
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
    """Say whether the host has such a row, looked up for each run that asks.

    For EXISTS, PostgreSQL would read the whole table: it takes a third of all runs for lagging behind.
    """
    return sa.select(sa.literal(1)).where(condition).limit(1).correlate(runs).scalar_subquery().is_not(None)


def lagging_users(engine: Engine) -> list[int]:
    """Return the users whose totals lack the newest state of a run that ended."""
    behind = runs.c.user_version < runs.c.version
    query = sa.select(runs.c.user_ref).where(behind, runs.c.user_ref.is_not(None), runs.c.status != RUNNING)
    with reading(engine) as connection:
        return list(connection.execute(query.distinct()).scalars())
