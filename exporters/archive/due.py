"""Which runs and days may be archived.

A run may be once it is over and every total includes it; an analysis, once that holds for all its runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.schema.tables import archived_days, fragments, runs, system_health_log
from telemetry.conventions import RUNNING

from .contents import Key

Group = list[Key]
"""Ids of the runs of one analysis, or of one run without an analysis."""
_others = runs.alias("others")


def is_over(run: Any) -> sa.ColumnElement[bool]:
    """Return the condition that a run and all its fragments have ended."""
    goes_on = sa.exists().where(
        fragments.c.run_id == run.c.run_id,
        fragments.c.closed_at.is_(None),
        fragments.c.interrupted_seq.is_distinct_from(fragments.c.seq),
    )
    return sa.and_(run.c.status != RUNNING, ~goes_on)


def is_shown(run: Any) -> sa.ColumnElement[bool]:
    """Return the condition that the row of its analysis shows a run, or never will."""
    return sa.or_(run.c.analysis_ref.is_(None), run.c.analysis_gone, run.c.projected_version >= run.c.version)


def is_summed(run: Any) -> sa.ColumnElement[bool]:
    """Return the condition that the totals of its user include a run."""
    return sa.or_(run.c.user_ref.is_(None), run.c.user_version >= run.c.version)


def is_settled(run: Any, cutoff: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a run may be archived, without regard to other runs of its analysis."""
    is_old = sa.and_(run.c.started_at < cutoff, sa.func.coalesce(run.c.ended_at, run.c.started_at) < cutoff)
    return sa.and_(is_old, is_over(run), is_shown(run), is_summed(run))


def may_go(cutoff: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a run and all other runs of its analysis may be archived."""
    unsettled = sa.exists().where(
        _others.c.analysis_ref == runs.c.analysis_ref, is_settled(_others, cutoff).is_not(sa.true())
    )
    return sa.and_(is_settled(runs, cutoff), sa.or_(runs.c.analysis_ref.is_(None), ~unsettled))


STAY: Final = (
    ("still running", is_over),
    ("not shown on their analysis yet", is_shown),
    ("not in the totals of their user yet", is_summed),
)
"""Reasons why a run stays, each with the condition that does not hold; the first counts."""
TOGETHER: Final = "of an analysis with younger runs, or runs that stay"
"""The reason why all other runs stay."""


def staying(connection: Connection, cutoff: datetime) -> dict[str, int]:
    """Return how many older runs may not be archived, by reason."""
    reason = sa.case(*((~holds(runs), name) for name, holds in STAY), else_=TOGETHER).label("reason")
    query = sa.select(reason, sa.func.count()).where(runs.c.started_at < cutoff, ~may_go(cutoff))
    return {name: number for name, number in connection.execute(query.group_by("reason"))}


def next_groups(
    connection: Connection, cutoff: datetime, after: tuple[datetime, Key] | None, limit: int
) -> tuple[list[Group], tuple[datetime, Key] | None]:
    """Return groups that may be archived, the oldest first, and where to continue; None after the last."""
    first = sa.select(sa.func.min(_others.c.run_id)).where(_others.c.analysis_ref == runs.c.analysis_ref)
    leads = sa.or_(runs.c.analysis_ref.is_(None), runs.c.run_id == first.scalar_subquery())
    place = (runs.c.started_at, runs.c.run_id)
    query = sa.select(*place).where(may_go(cutoff), leads).order_by(*place).limit(limit)
    if after is not None:
        query = query.where(sa.tuple_(*place) > sa.tuple_(*map(sa.literal, after)))
    rows = connection.execute(query).all()
    last = (rows[-1][0], rows[-1][1]) if rows else None
    return list(groups_of(connection, [row[1] for row in rows], with_others=True).values()), last


def groups_of(
    connection: Connection, ids: Sequence[Key], *, with_others: bool = False
) -> dict[object, Group]:
    """Return the runs in ``ids`` that exist, by their analysis, or by themselves if they have none.

    Args:
        connection: to the database.
        ids: of runs.
        with_others: whether to include the other runs of their analyses.
    """
    selected: sa.ColumnElement[bool] = runs.c.run_id.in_(ids)
    if with_others:
        analyses = sa.select(runs.c.analysis_ref).where(selected, runs.c.analysis_ref.is_not(None))
        selected = sa.or_(selected, runs.c.analysis_ref.in_(analyses))
    groups: dict[object, Group] = {}
    for run_id, analysis in connection.execute(sa.select(runs.c.run_id, runs.c.analysis_ref).where(selected)):
        groups.setdefault(run_id if analysis is None else analysis, []).append(run_id)
    return groups


def old_days(before: date) -> sa.Select[Any]:
    """Return the query for the days of the log that may be archived."""
    table = system_health_log
    known = sa.exists().where(archived_days.c.log_date == table.c.log_date)
    return sa.select(table.c.log_date).where(table.c.log_date < before, ~known).order_by(table.c.log_date)
