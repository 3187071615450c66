"""Findings that compare a complete day with the same weekdays of the weeks before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from sqlalchemy.engine import Connection

from exporters.sql.database.days import Day
from telemetry.settings import Settings

from ..finding import Finding
from .chance import half, is_many
from .day_figures import DayFigures, UsualDay, figures_of, same_weekdays, usual_day
from .jobs import day_name


def anomalies(connection: Connection, settings: Settings, day: Day) -> Iterator[Finding]:
    """Yield the findings about a complete day, compared with the same weekdays before."""
    usual = usual_day(same_weekdays(connection, settings, day), settings.anomaly_min_jobs)
    last = figures_of(connection, day)
    for compare in (_cost, _volume, _latency, _errors):
        yield from compare(last, usual, settings, day.date)


def _cost(last: DayFigures, usual: UsualDay, settings: Settings, day: dt.date) -> Iterator[Finding]:
    if usual.dollars is None or last.dollars <= usual.dollars * settings.anomaly_factor:
        return
    has_more = usual.jobs is None or last.jobs > usual.jobs * settings.anomaly_factor
    if has_more or _is_more(last.candidate_dollars, usual.candidate_dollars, settings):
        yield Finding(
            "cost",
            "alert",
            "Cost is unusually high",
            f"${last.dollars:.2f} on {day_name(day)}, where ${usual.dollars:.2f} is usual for that weekday.",
            {"dollars": last.dollars, "usual_dollars": usual.dollars},
            "See flask telemetry report for what it was spent on, and for jobs that were repeated.",
            day,
        )


def _is_more(last: float | None, usual: float | None, settings: Settings) -> bool:
    """Return whether a figure for each candidate is not what is usual: else the jobs were only larger."""
    return last is None or usual is None or last > usual * half(settings.anomaly_factor)


def _volume(last: DayFigures, usual: UsualDay, settings: Settings, day: dt.date) -> Iterator[Finding]:
    if usual.jobs is None:
        return
    if usual.jobs / settings.anomaly_factor <= last.jobs <= usual.jobs * settings.anomaly_factor:
        return
    is_more = last.jobs > usual.jobs
    yield Finding(
        "volume",
        "warning",
        f"Unusually {'many' if is_more else 'few'} jobs",
        f"{last.jobs} jobs on {day_name(day)}, where {usual.jobs:g} are usual for that weekday.",
        {"jobs": last.jobs, "usual_jobs": usual.jobs},
        "See which users they are of." if is_more else "Check whether users can upload and start analyses.",
        day,
    )


def _latency(last: DayFigures, usual: UsualDay, settings: Settings, day: dt.date) -> Iterator[Finding]:
    if last.slow_seconds is None or usual.slow_seconds is None or last.jobs < settings.anomaly_min_jobs:
        return
    if not _is_more(last.candidate_seconds, usual.candidate_seconds, settings):
        return
    if last.slow_seconds > usual.slow_seconds * settings.anomaly_factor:
        yield Finding(
            "latency",
            "warning",
            "Jobs take unusually long",
            f"5 % of the jobs took over {last.slow_seconds:.0f} s on {day_name(day)}, "
            f"where {usual.slow_seconds:.0f} s is usual for that weekday.",
            {"p95_seconds": last.slow_seconds, "usual_p95_seconds": usual.slow_seconds},
            "Compare the stages of a slow job with those of a usual one; look for retries and rate limits.",
            day,
        )


def _errors(last: DayFigures, usual: UsualDay, settings: Settings, day: dt.date) -> Iterator[Finding]:
    if usual.failed_share is None or last.seen < settings.anomaly_min_jobs:
        return
    is_more = last.failed / last.seen > usual.failed_share * settings.anomaly_factor
    if is_more and is_many(last.failed, usual.failed_share * last.seen):
        yield Finding(
            "errors",
            "alert",
            "Unusually many jobs fail",
            f"{last.failed} of {last.seen} jobs failed on {day_name(day)}, "
            f"where {usual.failed_share:.0%} is usual for that weekday.",
            {"failed": last.failed, "jobs": last.seen, "usual_share": usual.failed_share},
            "See flask telemetry report --failed for their errors.",
            day,
        )
