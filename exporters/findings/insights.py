"""What stands out in the figures of late: each finding with its numbers and something to do about it.

The thresholds are settings, the same that the alert rules use. Days are those of TELEMETRY_TIMEZONE.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.reports.cache import answers
from exporters.sql.database.days import Day
from exporters.sql.database.engine import create_engine, transaction
from telemetry.conventions import FAILED, INTERRUPTED
from telemetry.settings import Settings

from .finding import Finding

WEEKS: Final = 4
"""Weekdays that a day is compared with."""
KNOWN_WEEKS: Final = 3
"""Of which so many must have had enough jobs for the comparison to mean something."""

_names = ("kind", "started_at", "status", "duration_seconds", "queue_wait_seconds", "cost_dollars")
_refused = ("rate_limit_hits", "quota_hits", "spend_limit_hits")
_flags = ("exceeded_resume_limit", "user_chose_override", "candidates")
_jobs: Final = sa.table("telemetry_jobs", *map(sa.column, (*_names, *_refused, *_flags)))
_REFUSALS: Final = (
    (
        "quota_used_up",
        _jobs.c.quota_hits,
        "The quota is used up",
        "Add credits, or ask for a higher usage limit: until then every call is refused.",
    ),
    (
        "spend_limit_reached",
        _jobs.c.spend_limit_hits,
        "The spend limit is reached",
        "Raise the limit of the project or organization; else every call is refused until the month ends.",
    ),
)
"""Findings, the column that tells of each, what it is called, and what is to be done."""


@dataclass(frozen=True, slots=True)
class _Figures:
    """Of the jobs that began on one day."""

    jobs: int
    seen: int
    """Of these, those that telemetry saw: what is taken over from history shows neither failures nor cost."""
    failed: int
    cost: float
    slow_seconds: float | None
    """Duration that 95 % of the jobs stay below."""

    @property
    def failed_share(self) -> float:
        return self.failed / self.seen if self.seen else 0.0


def insights(settings: Settings, now: datetime | None = None, *, day_is_over: bool = False) -> list[Finding]:
    """Return what stands out in the database that ``settings`` name, the severe first.

    It may be as old as TELEMETRY_CACHE_SECONDS.

    Args:
        settings: with the thresholds.
        now: aware; default: this moment.
        day_is_over: count the jobs of yesterday where those of today would be.

    Raises:
        ValueError: for a URL that cannot be used.
        sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
    """
    zone = ZoneInfo(settings.timezone)
    today = Day.today(zone, now or datetime.now(UTC))
    question = ("insights", settings, today, day_is_over)
    return answers.get(
        question, settings.cache_seconds, lambda: _insights(settings, zone, today, day_is_over=day_is_over)
    )


def _insights(settings: Settings, zone: ZoneInfo, today: Day, *, day_is_over: bool) -> list[Finding]:
    engine = create_engine(settings.database_url, for_reading=True)
    yesterday = Day.of(today.date - timedelta(days=1), zone)
    day, when = (yesterday, f"on {_name(yesterday.date)}") if day_is_over else (today, "today")
    try:
        with transaction(engine) as connection:
            found = [finding for rule in _RULES for finding in rule(connection, settings, day, when)]
            found += _anomalies(connection, settings, yesterday)
    finally:
        engine.dispose()
    return sorted(found, key=lambda finding: not finding.is_severe)


def _overrides(connection: Connection, settings: Settings, day: Day, when: str) -> Iterator[Finding]:
    jobs, recent = _override_rate(connection, day.end - timedelta(days=7), day.end)
    _, usual = _override_rate(connection, day.end - timedelta(days=30), day.end)
    if jobs < settings.override_min_jobs or recent <= usual * settings.override_factor:
        return
    yield Finding(
        "override_rate",
        "warning",
        "Users override the limit more often",
        f"{recent:.0%} of the {jobs} jobs over the limit were run all the same in 7 days, "
        f"{usual:.0%} in 30 days.",
        {"rate_7_days": recent, "rate_30_days": usual, "jobs_7_days": jobs},
        "Consider a higher limit, or tell users why smaller batches serve them better.",
        day.date,
    )


def _override_rate(connection: Connection, start: datetime, end: datetime) -> tuple[int, float]:
    """Return the jobs over the limit, and the share of them that were run all the same."""
    query = sa.select(sa.func.count(), sa.func.count(sa.case((_jobs.c.user_chose_override, 1)))).where(
        _between(start, end), _jobs.c.exceeded_resume_limit
    )
    jobs, overridden = connection.execute(query).one()
    return jobs, overridden / jobs if jobs else 0.0


def _rate_limits(connection: Connection, settings: Settings, day: Day, when: str) -> Iterator[Finding]:
    query = sa.select(sa.func.count(), sa.func.sum(_jobs.c.rate_limit_hits)).where(
        _between(day.start, day.end), _jobs.c.rate_limit_hits > 0
    )
    jobs, hits = connection.execute(query).one()
    if jobs > settings.rate_limited_jobs:
        yield Finding(
            "rate_limited_jobs",
            "alert",
            "Many jobs meet rate limits",
            f"{jobs} jobs met rate limits {when}, {int(hits)} times in all.",
            {"jobs_today": jobs, "hits_today": int(hits)},
            "Lower the concurrency, spread jobs over the day, or ask the provider for higher limits.",
            day.date,
        )


def _refusals(connection: Connection, settings: Settings, day: Day, when: str) -> Iterator[Finding]:
    for key, column, title, advice in _REFUSALS:
        query = sa.select(sa.func.count(), sa.func.sum(column)).where(
            _between(day.start, day.end), column > 0
        )
        jobs, hits = connection.execute(query).one()
        if jobs:
            yield Finding(
                key,
                "alert",
                title,
                f"{jobs} jobs were refused {when}, {int(hits)} times in all.",
                {"jobs_today": jobs, "hits_today": int(hits)},
                advice,
                day.date,
            )


def _waiting(connection: Connection, settings: Settings, day: Day, when: str) -> Iterator[Finding]:
    query = sa.select(sa.func.count(), sa.func.max(_jobs.c.queue_wait_seconds)).where(
        _between(day.start, day.end), _jobs.c.queue_wait_seconds > settings.queue_wait_seconds
    )
    jobs, longest = connection.execute(query).one()
    if jobs:
        yield Finding(
            "queue_wait",
            "alert",
            "Jobs wait too long for a worker",
            f"{jobs} jobs waited over {settings.queue_wait_seconds:.0f} s {when}, "
            f"the longest {float(longest):.0f} s.",
            {"jobs_today": jobs, "longest_seconds": float(longest)},
            "Look whether the workers are alive, and add one if they are busy.",
            day.date,
        )


def _anomalies(connection: Connection, settings: Settings, day: Day) -> Iterator[Finding]:
    """Compare the last whole day with the same weekdays before it."""
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
            f"${last.cost:.2f} on {_name(day)}, where ${usual:.2f} is usual for that weekday.",
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
        f"{last.jobs} jobs on {_name(day)}, where {usual:g} are usual for that weekday.",
        {"jobs": last.jobs, "usual_jobs": usual},
        "See which users they are of." if is_more else "Look whether users can upload and start analyses.",
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
            f"5 % of the jobs took over {last.slow_seconds:.0f} s on {_name(day)}, "
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
            f"{last.failed} of {last.seen} jobs failed on {_name(day)}, "
            f"where {usual:.0%} is usual for that weekday.",
            {"failed": last.failed, "jobs": last.seen, "usual_share": usual},
            "See flask telemetry report --failed for their errors.",
            day,
        )


def _figures(connection: Connection, day: Day) -> _Figures:
    query = sa.select(_jobs.c.kind, _jobs.c.status, _jobs.c.cost_dollars, _jobs.c.duration_seconds).where(
        _between(day.start, day.end)
    )
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


def _name(day: dt.date) -> str:
    return f"{day:%A, %Y-%m-%d}"


def _between(start: datetime, end: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(
        _jobs.c.started_at >= sa.bindparam(None, start, type_=sa.DateTime()),
        _jobs.c.started_at < sa.bindparam(None, end, type_=sa.DateTime()),
    )


_RULES: Final[tuple[Callable[[Connection, Settings, Day, str], Iterator[Finding]], ...]] = (
    _overrides,
    _rate_limits,
    _refusals,
    _waiting,
)
"""What is counted of a day that may still go on."""
