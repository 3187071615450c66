"""The health score: the share of the last jobs without an issue."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .selection import Selection

SCORED_JOBS: Final = 50
"""Number of the latest jobs that the health score considers."""
GOOD: Final = 0.8
FAIR: Final = 0.6

_issues: Final = sa.table("telemetry_job_issues", sa.column("run_id"), sa.column("has_issue"))


def health_score(connection: Connection, selection: Selection) -> float | None:
    """Return the share of the last jobs that had no issue; imported jobs do not count.

    What an issue is, the view says: a failed part, many retries or fallbacks, or slowness.
    """
    job = selection.jobs()
    query = (
        sa.select(_issues.c.has_issue)
        .select_from(job.join(_issues, _issues.c.run_id == job.c.run_id))
        .order_by(job.c.started_at.desc(), job.c.run_id)
        .limit(SCORED_JOBS)
    )
    latest = connection.execute(query).scalars().all()
    return sum(not has_issue for has_issue in latest) / len(latest) if latest else None


def health(score: float | None) -> str:
    """Return a health score in words."""
    return "" if score is None else "good" if score >= GOOD else "fair" if score >= FAIR else "poor"
