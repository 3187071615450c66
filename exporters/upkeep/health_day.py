"""The figures of one day, which are a row of `system_health_log`."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.days import Day
from exporters.sql.schema.tables import JOBS, runs
from telemetry.conventions import COMPLETED, FAILED, INTERRUPTED, PARTIAL_FAILURE, UNKNOWN
from telemetry.pricing.prices import to_dollars

LONGEST_JOB: Final = timedelta(days=7)
"""Jobs that began earlier do not count as concurrent jobs."""

Interval = tuple[datetime, datetime | None]
"""Start and end of a job; None if it is still running."""


@dataclass(frozen=True, slots=True)
class HealthDay:
    """Figures of the jobs and runs that began on one day."""

    date: dt.date
    jobs_completed: int
    """Including partial failures."""
    jobs_failed: int
    """Including interrupted jobs, whether or not the host has a row for them."""
    jobs_unknown: int
    """Imported jobs whose ending was not recorded; the log has no column for them."""
    avg_processing_time: float | None
    """Seconds; None if no job ended."""
    cost_pico: int | None
    """Cost of all runs of any kind; None if all are imported, whose cost is not known."""
    rate_limit_incidents: int
    """Runs that met a 429."""
    error_types: dict[str, int]
    peak_concurrent_jobs: int
    total_candidates_processed: int
    total_api_calls: int

    def row(self) -> dict[str, Any]:
        """Return it as a row of `system_health_log`."""
        return {
            "log_date": self.date,
            "jobs_completed": self.jobs_completed,
            "jobs_failed": self.jobs_failed,
            "avg_processing_time": self.avg_processing_time,
            "total_api_spend": None if self.cost_pico is None else to_dollars(self.cost_pico),
            "rate_limit_incidents": self.rate_limit_incidents,
            "error_types": json.dumps(self.error_types) if self.error_types else None,
            "peak_concurrent_jobs": self.peak_concurrent_jobs,
            "total_candidates_processed": self.total_candidates_processed,
            "total_api_calls": self.total_api_calls,
        }


def health_of(connection: Connection, day: Day) -> HealthDay:
    """Return the figures of a day."""
    began = sa.and_(runs.c.started_at >= day.start, runs.c.started_at < day.end, runs.c.synthetic.is_(False))
    is_job = runs.c.kind.in_(JOBS)
    completed = sa.and_(is_job, runs.c.status.in_((COMPLETED, PARTIAL_FAILURE)))
    failed = sa.and_(is_job, runs.c.status.in_((FAILED, INTERRUPTED)))
    ended = sa.or_(completed, failed)
    query = sa.select(
        sa.func.count(sa.case((completed, 1))),
        sa.func.count(sa.case((failed, 1))),
        sa.func.avg(sa.case((ended, runs.c.duration_us))),
        sa.func.count(sa.case((sa.and_(is_job, runs.c.status == UNKNOWN), 1))),
        sa.func.sum(
            sa.case((runs.c.kind != "import", sa.func.coalesce(runs.c.repriced_pico, runs.c.cost_pico)))
        ),
        sa.func.count(),
        sa.func.count(sa.case((runs.c.rate_limit_hits > 0, 1))),
        sa.func.coalesce(sa.func.sum(sa.case((ended, runs.c.candidates))), 0),
        sa.func.coalesce(sa.func.sum(runs.c.api_calls), 0),
    ).where(began)
    row = connection.execute(query).one()
    done, broken, mean_us, unknown, pico, number, limited, candidates, calls = row
    errors = sa.select(runs.c.error_types).where(began, runs.c.error_types.is_not(None))
    return HealthDay(
        date=day.date,
        jobs_completed=done,
        jobs_failed=broken,
        jobs_unknown=unknown,
        avg_processing_time=None if mean_us is None else round(float(mean_us) / 1e6, 3),
        cost_pico=(None if number else 0) if pico is None else int(pico),
        rate_limit_incidents=limited,
        error_types=_error_types(connection.execute(errors).scalars()),
        peak_concurrent_jobs=peak(_intervals(connection, day), day.start, day.end),
        total_candidates_processed=int(candidates),
        total_api_calls=int(calls),
    )


def peak(intervals: Iterable[Interval], start: datetime, end: datetime) -> int:
    """Return the maximum number of concurrent ``intervals`` between ``start`` and ``end``.

    An interval that ends when another begins is not concurrent with it.
    """
    steps = []
    for began, ended in intervals:
        if began < end and (ended is None or ended > start):
            steps.append((max(began, start), 1))
            if ended is not None and ended < end:
                steps.append((ended, -1))
    most = now = 0
    for _, step in sorted(steps):
        now += step
        most = max(most, now)
    return most


def _intervals(connection: Connection, day: Day) -> Iterator[Interval]:
    """Yield the jobs that ran on a day.

    Imported jobs may have ended without a known time; these are left out.
    """
    query = sa.select(runs.c.started_at, runs.c.ended_at).where(
        runs.c.kind.in_(JOBS),
        runs.c.synthetic.is_(False),
        runs.c.started_at >= day.start - LONGEST_JOB,
        runs.c.started_at < day.end,
        sa.or_(runs.c.ended_at > day.start, sa.and_(runs.c.ended_at.is_(None), runs.c.status == "running")),
    )
    for row in connection.execute(query):
        yield row[0], row[1]


def _error_types(texts: Iterable[str]) -> dict[str, int]:
    """Add up the errors of many runs by type, the most frequent first."""
    counts: Counter[str] = Counter()
    for text in texts:
        for entry in json.loads(text):
            counts[entry["type"]] += entry["count"]
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))
