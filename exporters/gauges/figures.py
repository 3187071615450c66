"""The figures behind the gauges, from the same queries as those of reports and findings.

What is not known is left out: a gauge without a point, rather than zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.findings.checks.day_figures import figures_of, same_weekdays, usual_day
from exporters.reports import money, trouble
from exporters.reports.lines import Money
from exporters.reports.selection import last_days, this_month
from exporters.sql.database.days import Day
from exporters.sql.schema.ownership import is_ours
from exporters.sql.schema.tables import runs, system_health_log, utc_now
from telemetry.conventions import COMPLETED, PARTIAL_FAILURE, RUNNING, Metric, gauges
from telemetry.pricing.prices import to_dollars
from telemetry.settings import Settings

LONGEST_SUCCESS_DAYS: Final = 7
"""Jobs that began earlier do not count as the last success."""

Values = Iterator[tuple[Metric, float | None]]
"""Pairs of a gauge and its value, which is None if it is not known."""
Figure = Callable[[Connection, Settings, Day, datetime], Values]
"""A query for some gauges; gets the connection, the settings, today, and the current time (aware)."""


def _overrides(connection: Connection, settings: Settings, today: Day, _: datetime) -> Values:
    for days, share, volume in (
        (7, gauges.OVERRIDES_7D, gauges.OVER_LIMIT_7D),
        (30, gauges.OVERRIDES_30D, gauges.OVER_LIMIT_30D),
    ):
        selection = last_days(ZoneInfo(settings.timezone), today, days)
        over_limit, overridden = trouble.overrides(connection, selection)
        yield share, overridden / over_limit if over_limit else None
        yield volume, over_limit


def _troubled(connection: Connection, settings: Settings, today: Day, _: datetime) -> Values:
    met = trouble.troubled(connection, last_days(ZoneInfo(settings.timezone), today, 1))
    yield gauges.RATE_LIMITED_TODAY, met.rate_limit.jobs
    yield gauges.QUOTA_REFUSED_TODAY, met.quota.jobs
    yield gauges.SPEND_LIMITED_TODAY, met.spend_limit.jobs
    yield gauges.INTERRUPTED_TODAY, met.interrupted


def _spend(connection: Connection, settings: Settings, today: Day, now: datetime) -> Values:
    zone = ZoneInfo(settings.timezone)
    for selection, spent, incomplete in (
        (last_days(zone, today, 1), gauges.SPEND_TODAY, gauges.SPEND_TODAY_INCOMPLETE),
        (this_month(zone, today), gauges.SPEND_MONTH, gauges.SPEND_MONTH_INCOMPLETE),
    ):
        cost, runs_incomplete = money.total(connection, selection)
        yield spent, _dollars(cost)
        yield incomplete, runs_incomplete
    month = _dollars(cost)  # the later of the two
    yield (
        gauges.SPEND_MONTH_FORECAST,
        None if month is None else money.month_forecast(month, zone, today, now),
    )
    largest = money.largest_job(connection, last_days(zone, today, 1))
    yield gauges.LARGEST_JOB, None if largest is None else float(to_dollars(largest))


def _under_way(connection: Connection, settings: Settings, _: Day, now: datetime) -> Values:
    """Runs under way, by the clock of the database if it is about when it heard of them."""
    running = sa.and_(runs.c.status == RUNNING, sa.not_(runs.c.synthetic))
    heard: datetime = connection.execute(sa.select(utc_now())).scalar_one()
    silent = runs.c.seen_at < heard - timedelta(seconds=settings.stale_seconds)
    query = sa.select(sa.func.count(sa.case((silent, 1))), sa.func.min(runs.c.started_at)).where(running)
    silent_runs, oldest = connection.execute(query).one()
    yield gauges.SILENT_RUNS, silent_runs
    yield gauges.OLDEST_RUN_AGE, 0.0 if oldest is None else _age(oldest, now)


def _last_success(connection: Connection, settings: Settings, today: Day, now: datetime) -> Values:
    selection = last_days(ZoneInfo(settings.timezone), today, LONGEST_SUCCESS_DAYS + 1)
    ended = trouble.last_ended(connection, selection, (COMPLETED, PARTIAL_FAILURE))
    yield gauges.LAST_SUCCESS_AGE, None if ended is None else _age(ended, now)


def _yesterday(connection: Connection, settings: Settings, today: Day, _: datetime) -> Values:
    yesterday = last_days(ZoneInfo(settings.timezone), today, 2).first
    figures = figures_of(connection, yesterday)
    yield gauges.YESTERDAY_JOBS, figures.jobs
    yield gauges.YESTERDAY_FAILED_JOBS, figures.failed
    yield gauges.YESTERDAY_FAILED, figures.failed_share
    yield gauges.YESTERDAY_COST, _dollars(figures.cost)
    yield gauges.YESTERDAY_INCOMPLETE, figures.incomplete
    yield gauges.YESTERDAY_P95, figures.slow_seconds
    yield gauges.YESTERDAY_CANDIDATE_SECONDS, figures.candidate_seconds
    yield gauges.YESTERDAY_CANDIDATE_COST, figures.candidate_dollars
    usual = usual_day(same_weekdays(connection, settings, yesterday), settings.anomaly_min_jobs)
    yield gauges.USUAL_JOBS, usual.jobs
    yield gauges.USUAL_FAILED, usual.failed_share
    yield gauges.USUAL_COST, usual.dollars
    yield gauges.USUAL_P95, usual.slow_seconds
    yield gauges.USUAL_CANDIDATE_SECONDS, usual.candidate_seconds
    yield gauges.USUAL_CANDIDATE_COST, usual.candidate_dollars


def _health_log(connection: Connection, settings: Settings, _: Day, now: datetime) -> Values:
    if not is_ours(connection, system_health_log):
        return
    last = connection.execute(sa.select(sa.func.max(system_health_log.c.log_date))).scalar()
    if last is not None:
        yield gauges.HEALTH_LOG_AGE, _age(Day.of(last, ZoneInfo(settings.timezone)).end, now)


TODAY: Final[tuple[Figure, ...]] = (_overrides, _troubled, _spend, _under_way, _last_success)
"""Figures that change with every run."""
DAYS: Final[tuple[Figure, ...]] = (_yesterday, _health_log)
"""Figures that change once a day."""


def _dollars(cost: Money) -> float | None:
    return None if cost.dollars is None else float(cost.dollars)


def _age(moment: datetime, now: datetime) -> float:
    """Return the seconds since a time in naive UTC; 0 if it is still to come."""
    return max((now - moment.replace(tzinfo=UTC)).total_seconds(), 0.0)
