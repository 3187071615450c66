"""Query the database for a report."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import reduce
from zoneinfo import ZoneInfo

from sqlalchemy.engine import Connection

from exporters.sql.database.days import Day
from exporters.sql.database.engine import create_engine, transaction
from telemetry.pricing.prices import to_dollars
from telemetry.settings import Settings

from . import jobs as job_figures
from . import money
from .cache import cache
from .health_score import health, health_score
from .lines import Money
from .periods import periods, unit
from .selection import Selection
from .shape import Report

_PICO = Decimal(1).scaleb(-12)


def report(
    settings: Settings,
    last_days: int,
    *,
    since: date | None = None,
    until: date | None = None,
    user_id: int | None = None,
    model: str | None = None,
    failed: bool = False,
    analysis_id: int | None = None,
) -> Report:
    """Return the figures of a period, or of one analysis.

    They may be as old as TELEMETRY_CACHE_SECONDS.

    Args:
        settings: name the database and the time zone.
        last_days: number of days up to today, or to the day before ``until``; ignored if ``since`` is given.
        since: the first day.
        until: the first day after the period; default and maximum: tomorrow.
        user_id: only runs of this user.
        model: a glob (``*`` and ``?``): only runs that called a matching model, and their cost for it.
        failed: list the latest failed jobs instead of the latest.
        analysis_id: only the runs of this analysis, regardless of the period.

    Raises:
        ValueError: if the URL cannot be used, or the period ends before it begins.
        LookupError: if the analysis has no run.
        sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
    """
    zone = ZoneInfo(settings.timezone)
    today = Day.today(zone).date
    last = min(until - timedelta(days=1), today) if until else today
    first = since or last - timedelta(days=last_days - 1)
    if last < first:
        raise ValueError(f"the period ends before it begins: {first} to {last}")
    selection = Selection(zone, Day.of(first, zone), Day.of(last, zone), analysis_id, user_id, model, failed)
    key = ("report", settings.database_url, selection)
    return cache.get(key, settings.cache_seconds, lambda: _report(settings, selection))


def _report(settings: Settings, selection: Selection) -> Report:
    engine = create_engine(settings.database_url, for_reading=True)
    try:
        with transaction(engine) as connection:
            return _figures(connection, selection)
    finally:
        engine.dispose()


def _figures(connection: Connection, selection: Selection) -> Report:
    totals = job_figures.totals(connection, selection)
    sizes = job_figures.sizes(connection, selection)
    spend = money.spent_on(connection, selection)
    if not spend and not selection.is_of_a_period and selection.model is None:
        raise LookupError(f"there is no run of analysis {selection.analysis_id}")
    calls = money.calls(connection, selection)
    models = money.by_cost(calls.models.values())
    cost = reduce(Money.__add__, (line.cost for line in spend), Money())
    of_candidates, candidates = money.per_candidate(connection, selection)
    ended = totals["seen_ended"]
    override_rate = totals["overrides"] / totals["over_limit"] if totals["over_limit"] else None
    score = health_score(connection, selection)
    first, last = selection.first.date, selection.last.date
    return Report(
        first=first if selection.is_of_a_period else None,
        last=last if selection.is_of_a_period else None,
        timezone=selection.zone.key,
        analysis_id=selection.analysis_id,
        user_id=selection.user_id,
        model=selection.model,
        jobs=totals["jobs"],
        users=totals["users"],
        candidates=int(totals["candidates"] or 0),
        **{name: totals[name] for name in job_figures.ENDINGS},
        success_rate=totals["seen_completed"] / ended if ended else None,
        foreign_runs=job_figures.foreign_runs(connection, selection),
        runs=sum(line.runs for line in spend if line.name != "orphan"),
        calls=calls.total.calls,
        attempts=calls.total.attempts,
        rate_limit_hits=calls.total.rate_limit_hits,
        quota_hits=calls.total.quota_hits,
        spend_limit_hits=calls.total.spend_limit_hits,
        orphan_calls=calls.orphans,
        cost=cost,
        cost_per_job=_each(cost, totals["seen_jobs"]),
        cost_per_candidate=_each(of_candidates, candidates),
        cost_per_candidate_complete=of_candidates.complete,
        spend=spend,
        gaps=money.gaps(connection, selection, models) if not cost.complete else [],
        seconds=job_figures.range_of(totals, "seconds"),
        batch=job_figures.range_of(totals, "batch"),
        batch_median=job_figures.median(sizes),
        batches=job_figures.bins(sizes),
        jd_characters=job_figures.range_of(totals, "jd"),
        resume_characters=job_figures.resumes(totals),
        over_limit=totals["over_limit"],
        overrides=totals["overrides"],
        override_rate=override_rate,
        advice=_advice(override_rate),
        response_seconds=calls.response_seconds,
        health_score=score,
        health=health(score),
        models=models,
        stages=money.by_cost(calls.stages.values()),
        period=unit(first, last) if selection.is_of_a_period else "",
        periods=periods(connection, selection) if selection.is_of_a_period else [],
        active_users=job_figures.active_users(connection, selection),
        latest=job_figures.latest(connection, selection),
    )


def _each(cost: Money, number: int) -> Decimal | None:
    """Return the cost of one, in dollars, rounded to a pico-dollar."""
    if not number or not cost.is_known:
        return None
    return (to_dollars(cost.pico) / number).quantize(_PICO, ROUND_HALF_EVEN)


def _advice(rate: float | None) -> str:
    if rate is None:
        return ""
    if rate >= 0.5:
        return "Half of the users over the limit override it: raise it."
    if rate >= 0.25:
        return "Many users over the limit override it: consider raising it."
    return "Few users override the limit: it is right."
