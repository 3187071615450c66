"""Findings that compare a complete day with the same weekdays of the weeks before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.days import Day
from telemetry.conventions import FAILED, INTERRUPTED
from telemetry.settings import Settings

from .finding import Finding
from .jobs import between, day_name, jobs_view

WEEKS: Final = 4
"""Number of earlier weeks that a day is compared with."""
KNOWN_WEEKS: Final = 3
"""How many of them need enough jobs for the comparison to be meaningful."""


@dataclass(frozen=True, slots=True)
class _Figures:
    """Figures of the jobs that began on one day."""

    jobs: int
    seen: int
    """Jobs that were not imported: those show neither failures nor cost."""
    failed: int
    cost: float
    slow_seconds: float | None
    """95th percentile of the duration."""

    @property
    def failed_share(self) -> float:
        return self.failed / self.seen if self.seen else 0.0


def anomalies(connection: Connection, settings: Settings, day: Day) -> Iterator[Finding]:
    """Yield the findings about a complete day, compared with the same weekdays before."""
    zone = ZoneInfo(settings.timezone)
    dates = [day.date - timedelta(days=7 * week) for week in range(WEEKS + 1)]
    last, *before = (_figures(connection, Day.of(date, zone)) for date in dates)
    known = [figures for figures in before if figures.jobs >= settings.anomaly_min_jobs]
    if len(known) < KNOWN_WEEKS:
        return
    for compare in (_cost, _volume, _latency, _errors):
        yield from compare(last, known, settings, day.date)


def _cost(last: _Figures, before: list[_Figures], settings: Settings, day: dt.date) -> Iterator[Finding]:
    seen = [figures.cost for figures in before if figures.seen >= settings.anomaly_min_jobs]
    if len(seen) < KNOWN_WEEKS:
        return
    usual = median(seen)
    if last.cost > usual * settings.anomaly_factor:
        yield Finding(
            "cost",
            "alert",
            "Cost is unusually high",
            f"${last.cost:.2f} on {day_name(day)}, where ${usual:.2f} is usual for that weekday.",
            {"dollars": last.cost, "usual_dollars": usual},
            "See flask telemetry report for what it was spent on, and for jobs that were repeated.",
            day,
        )


def _volume(last: _Figures, before: list[_Figures], settings: Settings, day: dt.date) -> Iterator[Finding]:
    usual = median(figures.jobs for figures in before)
    if usual / settings.anomaly_factor <= last.jobs <= usual * settings.anomaly_factor:
        return
    is_more = last.jobs > usual
    yield Finding(
        "volume",
        "warning",
        f"Unusually {'many' if is_more else 'few'} jobs",
        f"{last.jobs} jobs on {day_name(day)}, where {usual:g} are usual for that weekday.",
        {"jobs": last.jobs, "usual_jobs": usual},
        "See which users they are of." if is_more else "Check whether users can upload and start analyses.",
        day,
    )


def _latency(last: _Figures, before: list[_Figures], settings: Settings, day: dt.date) -> Iterator[Finding]:
    slow = [figures.slow_seconds for figures in before if figures.slow_seconds is not None]
    if last.slow_seconds is None or not slow or last.jobs < settings.anomaly_min_jobs:
        return
    usual = median(slow)
    if last.slow_seconds > usual * settings.anomaly_factor:
        yield Finding(
            "latency",
            "warning",
            "Jobs take unusually long",
            f"5 % of the jobs took over {last.slow_seconds:.0f} s on {day_name(day)}, "
            f"where {usual:.0f} s is usual for that weekday.",
            {"p95_seconds": last.slow_seconds, "usual_p95_seconds": usual},
            "Compare the stages of a slow job with those of a usual one; look for retries and rate limits.",
            day,
        )


def _errors(last: _Figures, before: list[_Figures], settings: Settings, day: dt.date) -> Iterator[Finding]:
    if last.seen < settings.anomaly_min_jobs:
        return
    seen = [figures.failed_share for figures in before if figures.seen >= settings.anomaly_min_jobs]
    if len(seen) < KNOWN_WEEKS:
        return
    usual = median(seen)
    is_more = last.failed_share > usual * settings.anomaly_factor
    if last.failed > 1 and is_more:
        yield Finding(
            "errors",
            "alert",
            "Unusually many jobs fail",
            f"{last.failed} of {last.seen} jobs failed on {day_name(day)}, "
            f"where {usual:.0%} is usual for that weekday.",
            {"failed": last.failed, "jobs": last.seen, "usual_share": usual},
            "See flask telemetry report --failed for their errors.",
            day,
        )


def _figures(connection: Connection, day: Day) -> _Figures:
    query = sa.select(
        jobs_view.c.kind, jobs_view.c.status, jobs_view.c.cost_dollars, jobs_view.c.duration_seconds
    ).where(between(day.start, day.end))
    rows: list[Any] = list(connection.execute(query))
    seen = [row for row in rows if row.kind != "import"]
    durations = sorted(float(row.duration_seconds) for row in rows if row.duration_seconds is not None)
    return _Figures(
        jobs=len(rows),
        seen=len(seen),
        failed=sum(row.status in (FAILED, INTERRUPTED) for row in seen),
        cost=sum(float(row.cost_dollars) for row in seen),
        slow_seconds=durations[-(len(durations) // 20) - 1] if durations else None,
    )
