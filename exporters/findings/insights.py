"""Findings in recent figures, each with its numbers and a remedy.

The thresholds are settings, which the alert rules use, too. Days are those of TELEMETRY_TIMEZONE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.reports.cache import cache
from exporters.reports.selection import last_days
from exporters.reports.trouble import overrides, troubled
from exporters.sql.database.days import Day
from exporters.sql.database.engine import create_engine, transaction
from telemetry.settings import Settings

from .checks.anomalies import anomalies
from .checks.budgets import budgets
from .checks.chance import is_larger
from .checks.jobs import between, day_name, jobs_view
from .finding import Finding

_REFUSALS: Final = (
    (
        "quota_used_up",
        attrgetter("quota"),
        "The quota is used up",
        "Add credits, or ask for a higher usage limit: until then every call is refused.",
    ),
    (
        "spend_limit_reached",
        attrgetter("spend_limit"),
        "The spend limit is reached",
        "Raise the limit of the project or organization; else every call is refused until the month ends.",
    ),
)
"""Name, figure, title and remedy of the findings about refused calls."""


def insights(settings: Settings, now: datetime | None = None, *, day_is_over: bool = False) -> list[Finding]:
    """Return the findings in the database of ``settings``, the severe ones first.

    They may be as old as TELEMETRY_CACHE_SECONDS.

    Args:
        settings: the database and the thresholds.
        now: the current time, aware; default: that of the clock.
        day_is_over: look at yesterday instead of today.

    Raises:
        ValueError: if the URL cannot be used.
        sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
    """
    zone = ZoneInfo(settings.timezone)
    now = now or datetime.now(UTC)
    today = Day.today(zone, now)
    key = ("insights", settings, today, day_is_over)
    return cache.get(
        key, settings.cache_seconds, lambda: _insights(settings, zone, today, now, day_is_over=day_is_over)
    )


def _insights(
    settings: Settings, zone: ZoneInfo, today: Day, now: datetime, *, day_is_over: bool
) -> list[Finding]:
    engine = create_engine(settings.database_url, for_reading=True)
    yesterday = Day.of(today.date - timedelta(days=1), zone)
    day, when = (yesterday, f"on {day_name(yesterday.date)}") if day_is_over else (today, "today")
    try:
        with transaction(engine) as connection:
            findings = [finding for rule in _RULES for finding in rule(connection, settings, day, when)]
            findings += budgets(
                connection, settings, day, when, day.end.replace(tzinfo=UTC) if day_is_over else now
            )
            findings += anomalies(connection, settings, yesterday)
    finally:
        engine.dispose()
    return sorted(findings, key=lambda finding: not finding.is_severe)


def _overrides(connection: Connection, settings: Settings, day: Day, when: str) -> Iterator[Finding]:
    jobs, recent = _override_rate(connection, settings, day, 7)
    _, usual = _override_rate(connection, settings, day, 30)
    if jobs < settings.override_min_jobs or recent <= usual * settings.override_factor:
        return
    if not is_larger(recent, usual, jobs):
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


def _override_rate(connection: Connection, settings: Settings, day: Day, days: int) -> tuple[int, float]:
    """Return the number of jobs over the limit, and the share of them that were run all the same."""
    over_limit, overridden = overrides(connection, last_days(ZoneInfo(settings.timezone), day, days))
    return over_limit, overridden / over_limit if over_limit else 0.0


def _rate_limits(connection: Connection, settings: Settings, day: Day, when: str) -> Iterator[Finding]:
    jobs, hits = troubled(connection, last_days(ZoneInfo(settings.timezone), day, 1)).rate_limit
    if jobs > settings.rate_limited_jobs:
        yield Finding(
            "rate_limited_jobs",
            "alert",
            "Many jobs meet rate limits",
            f"{jobs} jobs met rate limits {when}, {hits} times in all.",
            {"jobs_today": jobs, "hits_today": hits},
            "Lower the concurrency, spread jobs over the day, or ask the provider for higher limits.",
            day.date,
        )


def _refusals(connection: Connection, settings: Settings, day: Day, when: str) -> Iterator[Finding]:
    met = troubled(connection, last_days(ZoneInfo(settings.timezone), day, 1))
    for key, figure, title, advice in _REFUSALS:
        jobs, hits = figure(met)
        if jobs:
            yield Finding(
                key,
                "alert",
                title,
                f"{jobs} jobs were refused {when}, {hits} times in all.",
                {"jobs_today": jobs, "hits_today": hits},
                advice,
                day.date,
            )


def _waiting(connection: Connection, settings: Settings, day: Day, when: str) -> Iterator[Finding]:
    query = sa.select(sa.func.count(), sa.func.max(jobs_view.c.queue_wait_seconds)).where(
        between(day.start, day.end), jobs_view.c.queue_wait_seconds > settings.queue_wait_seconds
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
            "Check whether the workers are alive, and add one if they are busy.",
            day.date,
        )


_RULES: Final[tuple[Callable[[Connection, Settings, Day, str], Iterator[Finding]], ...]] = (
    _overrides,
    _rate_limits,
    _refusals,
    _waiting,
)
"""Rules for a day that may not be complete yet."""
