"""Findings about what is spent, against the budgets. A budget of 0 is none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy.engine import Connection

from exporters.reports import money
from exporters.reports.selection import Selection, last_days, this_month
from exporters.sql.database.days import Day
from telemetry.pricing.prices import to_dollars
from telemetry.settings import Settings

from ..finding import Finding

ADVICE: Final = "See flask telemetry report for what it was spent on; raise the budget if this is intended."


def budgets(
    connection: Connection, settings: Settings, day: Day, when: str, now: dt.datetime
) -> Iterator[Finding]:
    """Yield the findings about a day, its month and its most expensive job, also of runs under way."""
    zone = ZoneInfo(settings.timezone)
    today = last_days(zone, day, 1)
    spent, limit = _spent(connection, today), settings.budget_day_usd
    if limit and spent > limit * settings.budget_warning_share:
        figures = {"dollars": spent, "budget": limit}
        yield _finding("daily_budget", "a day", spent > limit, f"${spent:.2f} spent {when}", figures, day)
    largest = money.largest_job(connection, today)
    cost, limit = float(to_dollars(largest or 0)), settings.budget_job_usd
    if limit and cost > limit:
        yield _finding(
            "job_budget", "a job", True, f"A job costs ${cost:.2f}", {"dollars": cost, "budget": limit}, day
        )
    spent, limit = _spent(connection, this_month(zone, day)), settings.budget_month_usd
    forecast = money.month_forecast(spent, zone, day, now)
    if limit and (spent > limit * settings.budget_warning_share or forecast > limit):
        message = f"${spent:.2f} spent this month, ${forecast:.2f} by its end at this pace"
        figures = {"dollars": spent, "forecast": forecast, "budget": limit}
        yield _finding("monthly_budget", "a month", spent > limit, message, figures, day)


def _spent(connection: Connection, selection: Selection) -> float:
    return float(to_dollars(money.total(connection, selection)[0].pico))


def _finding(
    name: str, period: str, is_passed: bool, message: str, figures: dict[str, float], day: Day
) -> Finding:
    title = f"The budget of {period} is {'passed' if is_passed else 'nearly spent, or will be'}"
    return Finding(
        name,
        "alert" if is_passed else "warning",
        title,
        f"{message}, of a budget of ${figures['budget']:g}.",
        figures,
        ADVICE,
        day.date,
    )
