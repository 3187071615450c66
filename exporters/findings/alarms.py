"""Severe findings about a complete day, without a comparison with other days.

There are few of them, and each needs attention: most jobs failed, jobs failed that the application does not
show, or nothing was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.days import Day
from exporters.sql.schema.tables import runs
from telemetry.conventions import COMPLETED, FAILED, INTERRUPTED, PARTIAL_FAILURE
from telemetry.settings import Settings

from .checks.day_figures import KNOWN_WEEKS, WEEKS
from .finding import Finding

FEW: Final = 1
"""Number of failures that are not worth a finding: a deployment may have interrupted a job."""

_is_job: Final = runs.c.kind == "analysis"
_has_failed: Final = runs.c.status.in_((FAILED, INTERRUPTED))


def alarms(connection: Connection, settings: Settings, day: Day) -> Iterator[Finding]:
    """Yield the severe findings about a complete day."""
    yield from _failed_jobs(connection, day)
    yield from _unseen_failures(connection, day)
    yield from _nothing_recorded(connection, settings, day)


def _failed_jobs(connection: Connection, day: Day) -> Iterator[Finding]:
    failed = _count(connection, day, _is_job, _has_failed)
    done = _count(connection, day, _is_job, runs.c.status.in_((COMPLETED, PARTIAL_FAILURE)))
    if failed > max(done, FEW):
        yield Finding(
            "failed_jobs",
            "alert",
            "Most jobs fail",
            f"{failed} jobs failed and {done} completed on {day.date}.",
            {"failed": failed, "completed": done},
            "See flask telemetry report --failed for their errors.",
            day.date,
        )


def _unseen_failures(connection: Connection, day: Day) -> Iterator[Finding]:
    """Find jobs that failed before the application had a row for them: none of its pages shows them."""
    has_row = runs.c.analysis_seen_at.is_not(None)
    failed = _count(connection, day, _is_job, _has_failed, ~has_row)
    if failed > FEW and connection.scalar(sa.select(sa.exists().where(_is_job, has_row))):
        yield Finding(
            "unseen_failures",
            "alert",
            "Jobs fail that the application does not show",
            f"{failed} jobs failed on {day.date} before the application had a row for them.",
            {"failed": failed},
            "See flask telemetry report --failed for their errors; their users may still be waiting.",
            day.date,
        )


def _nothing_recorded(connection: Connection, settings: Settings, day: Day) -> Iterator[Finding]:
    """Find that no run was recorded on a weekday that usually has jobs."""
    if _count(connection, day):
        return
    zone = ZoneInfo(settings.timezone)
    before = [Day.of(day.date - timedelta(days=7 * week), zone) for week in range(1, WEEKS + 1)]
    jobs = [_count(connection, earlier, _is_job) for earlier in before]
    if sum(count >= settings.anomaly_min_jobs for count in jobs) >= KNOWN_WEEKS:
        yield Finding(
            "nothing_recorded",
            "alert",
            "Nothing was recorded",
            f"No run began on {day.date}, where that weekday had {min(jobs)} to {max(jobs)} jobs.",
            {"least_jobs": min(jobs), "most_jobs": max(jobs)},
            "Run flask telemetry doctor, and check whether users can start analyses.",
            day.date,
        )


def _count(connection: Connection, day: Day, *conditions: sa.ColumnElement[bool]) -> int:
    began = sa.and_(runs.c.started_at >= day.start, runs.c.started_at < day.end, runs.c.synthetic.is_(False))
    return connection.execute(sa.select(sa.func.count()).where(began, *conditions)).scalar_one()
