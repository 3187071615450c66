"""The health score: the share of the last jobs without an issue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.statements import Row
from exporters.sql.schema import tables
from telemetry.conventions import FAILED, INTERRUPTED, PARTIAL_FAILURE

from .selection import Selection, stages

SCORED_JOBS: Final = 50
"""Number of the latest jobs that the health score considers."""
SLOW_SECONDS: Final = 5.0
MOST_RETRIES: Final = 5
MOST_FALLBACKS: Final = 3


def health_score(connection: Connection, selection: Selection) -> float | None:
    """Return the share of the last jobs that had no issue; imported jobs do not count."""
    source = selection.jobs()
    query = (
        sa.select(source)
        .where(source.c.kind == "analysis", source.c.status != "running")
        .order_by(source.c.started_at.desc(), source.c.run_id)
        .limit(SCORED_JOBS)
    )
    latest = [dict(row) for row in connection.execute(query).mappings()]
    if not latest:
        return None
    ids = [job["run_id"] for job in latest]
    counted, means = _counted(connection, ids), _responses(connection, ids)
    return sum(not _has_issue(job, counted, means) for job in latest) / len(latest)


def health(score: float | None) -> str:
    """Return a health score in words."""
    return "" if score is None else "good" if score >= 0.8 else "fair" if score >= 0.6 else "poor"


def _counted(connection: Connection, ids: Sequence[str]) -> dict[tuple[str, str], int]:
    counters = tables.counters
    query = sa.select(counters).where(counters.c.run_id.in_(ids))
    return {(row.run_id, row.name): row.value for row in connection.execute(query)}


def _responses(connection: Connection, ids: Sequence[str]) -> dict[str, float]:
    part = stages.c
    query = (
        sa.select(part.run_id, sa.func.sum(part.duration_seconds), sa.func.sum(part.calls))
        .where(part.run_id.in_(ids), part.operation != "")
        .group_by(part.run_id)
    )
    return {
        run_id: float(seconds) / int(calls) for run_id, seconds, calls in connection.execute(query) if calls
    }


def _has_issue(job: Row, counted: Mapping[tuple[str, str], int], means: Mapping[str, float]) -> bool:
    """Return whether a job or a part of it failed, needed many retries or fallbacks, or was slow."""
    run_id, candidates = job["run_id"], job["candidates"]
    seconds = float(job["duration_seconds"] or 0)
    return (
        job["status"] in (FAILED, INTERRUPTED, PARTIAL_FAILURE)
        or counted.get((run_id, "app_retries"), 0) > MOST_RETRIES
        or counted.get((run_id, "fallbacks"), 0) > MOST_FALLBACKS
        or means.get(run_id, 0.0) > SLOW_SECONDS
        or bool(candidates and seconds / candidates > SLOW_SECONDS)
    )
