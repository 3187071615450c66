"""Figures of the jobs of one day, and the median of those of earlier days."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.reports.lines import Money
from exporters.sql.database.days import Day
from telemetry.conventions import FAILED, INTERRUPTED
from telemetry.pricing.prices import to_dollars
from telemetry.settings import Settings

from .jobs import between, jobs_view

WEEKS: Final = 4
"""Number of earlier weeks that a day is compared with."""
KNOWN_WEEKS: Final = 3
"""How many of them need enough jobs for the comparison to be meaningful."""


@dataclass(frozen=True, slots=True)
class DayFigures:
    """Figures of the jobs that began on one day."""

    jobs: int
    seen: int
    """Jobs that were not imported: those show neither failures nor cost."""
    failed: int
    """Of those that were seen; interrupted ones are among them."""
    cost: Money
    """Of those that were seen."""
    incomplete: int
    """Those that were seen whose cost is incomplete."""
    slow_seconds: float | None
    """95th percentile of the duration; None if no job ended."""

    candidate_seconds: float | None
    """Time of the jobs that ended but for the slowest 5 %, for each of their candidates; None without any."""
    candidate_dollars: float | None
    """The known cost of the jobs that were seen, for each of their candidates; None if none has any."""

    @property
    def failed_share(self) -> float | None:
        """Share of failed jobs; None if none was seen."""
        return self.failed / self.seen if self.seen else None

    @property
    def dollars(self) -> float:
        """The known cost."""
        return float(to_dollars(self.cost.pico))


@dataclass(frozen=True, slots=True)
class UsualDay:
    """Medians over the same weekday of earlier weeks; None for what too few of them know."""

    jobs: float | None = None
    failed_share: float | None = None
    dollars: float | None = None
    slow_seconds: float | None = None
    candidate_seconds: float | None = None
    candidate_dollars: float | None = None


def figures_of(connection: Connection, day: Day) -> DayFigures:
    """Return the figures of a day."""
    job = jobs_view.c
    seen = job.kind != "import"
    query = sa.select(
        sa.func.count(),
        sa.func.count(sa.case((seen, 1))),
        sa.func.count(sa.case((sa.and_(seen, job.status.in_((FAILED, INTERRUPTED))), 1))),
        sa.func.sum(job.cost_pico),
        sa.func.count(sa.case((sa.and_(seen, sa.not_(job.cost_complete)), 1))),
        sa.func.count(job.duration_seconds),
        sa.func.sum(sa.case((sa.and_(seen, job.candidates > 0), job.cost_pico))),
        sa.func.sum(sa.case((seen, job.candidates))),
    ).where(between(day.start, day.end))
    jobs, number, failed, pico, incomplete, ended, spent, paid = connection.execute(query).one()
    slow_seconds, candidate_seconds = _durations(connection, day, ended)
    return DayFigures(
        jobs,
        number,
        failed,
        Money.of(pico, incomplete) if number else Money(),
        incomplete,
        slow_seconds,
        candidate_seconds,
        float(to_dollars(int(spent))) / int(paid) if paid else None,
    )


def _durations(connection: Connection, day: Day, ended: int) -> tuple[float | None, float | None]:
    """Return the duration that 5 % of the jobs that ended exceed, and that of others for each candidate."""
    if not ended:
        return None, None
    duration, candidates = jobs_view.c.duration_seconds, jobs_view.c.candidates
    others = (
        sa.select(duration, candidates)
        .where(between(day.start, day.end), duration.is_not(None))
        .order_by(duration.desc())
        .limit(ended)
        .offset(ended // 20)
        .subquery()
        .c
    )
    has_any = others.candidates > 0
    query = sa.select(
        sa.func.max(others.duration_seconds),
        sa.func.sum(sa.case((has_any, others.duration_seconds))),
        sa.func.sum(others.candidates),
    )
    slow, seconds, number = connection.execute(query).one()
    return (
        None if slow is None else float(slow),
        float(seconds) / int(number) if number else None,
    )


def same_weekdays(connection: Connection, settings: Settings, day: Day) -> list[DayFigures]:
    """Return the figures of the same weekday of the weeks before ``day``."""
    zone = ZoneInfo(settings.timezone)
    dates = [day.date - timedelta(days=7 * week) for week in range(1, WEEKS + 1)]
    return [figures_of(connection, Day.of(date, zone)) for date in dates]


def usual_day(before: Iterable[DayFigures], min_jobs: int) -> UsualDay:
    """Return the medians over days with at least ``min_jobs`` jobs, of which three have to be known."""
    known = [figures for figures in before if figures.jobs >= min_jobs]
    if len(known) < KNOWN_WEEKS:
        return UsualDay()
    seen = [figures for figures in known if figures.seen >= min_jobs]
    has_seen = len(seen) >= KNOWN_WEEKS
    return UsualDay(
        jobs=median(figures.jobs for figures in known),
        failed_share=median(figures.failed / figures.seen for figures in seen) if has_seen else None,
        dollars=median(figures.dollars for figures in seen) if has_seen else None,
        slow_seconds=_median(figures.slow_seconds for figures in known),
        candidate_seconds=_median(figures.candidate_seconds for figures in known),
        candidate_dollars=_median(figures.candidate_dollars for figures in seen) if has_seen else None,
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
