"""Rules about money: what is spent, against the budgets, and calls whose cost nobody knows.

The figures come from SQL and include runs under way, so that they need no history, are right after a
restart, and a job that spends too much is noticed while it runs. A budget of 0 has no rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from telemetry import conventions as c
from telemetry.conventions import gauges
from telemetry.settings import Settings

from .. import dashboards
from ..alert import Alert, Group
from ..expression import Application, number, product

AT_ONCE: Final = "what is spent is spent, and each minute may cost more."
BY_INCREASE: Final = "an increase over an hour is no flicker."


def money(settings: Settings) -> Group:
    """Return the rules about money."""
    application = Application.of(settings)
    alerts = (
        *_day(settings, application),
        *_month(settings, application),
        *_job(settings, application),
        *_unknown(settings, application),
    )
    return Group("money", 30, alerts)


def _day(settings: Settings, application: Application) -> Iterator[Alert]:
    budget = settings.budget_day_usd
    if not budget:
        return
    spent = application.most(gauges.SPEND_TODAY)
    yield Alert(
        name="AnalysisDailyBudgetPassed",
        severity="critical",
        expression=f"{spent} > {number(budget)}",
        summary="More was spent today than the budget of a day.",
        description=f'${{{{ $value | printf "%.2f" }}}} spent today, of a budget of ${number(budget)}.',
        dashboard=dashboards.COST,
        service=application.job,
        settings=("budget_day_usd",),
        at_once=AT_ONCE,
    )
    limit = product(budget, settings.budget_warning_share)
    yield Alert(
        name="AnalysisDailyBudgetNearlySpent",
        severity="warning",
        expression=f"{spent} > {limit}",
        summary="Most of the budget of a day is spent.",
        description=f'${{{{ $value | printf "%.2f" }}}} spent today, of a budget of ${number(budget)}.',
        dashboard=dashboards.COST,
        service=application.job,
        settings=("budget_day_usd", "budget_warning_share"),
        at_once=AT_ONCE,
    )


def _month(settings: Settings, application: Application) -> Iterator[Alert]:
    budget = settings.budget_month_usd
    if not budget:
        return
    spent, forecast = application.most(gauges.SPEND_MONTH), application.most(gauges.SPEND_MONTH_FORECAST)
    of_budget = f"of a budget of ${number(budget)}."
    yield Alert(
        name="AnalysisMonthlyBudgetPassed",
        severity="critical",
        expression=f"{spent} > {number(budget)}",
        summary="More was spent this month than the budget of a month.",
        description=f'${{{{ $value | printf "%.2f" }}}} spent this month, {of_budget}',
        dashboard=dashboards.COST,
        service=application.job,
        settings=("budget_month_usd",),
        at_once=AT_ONCE,
    )
    limit = product(budget, settings.budget_warning_share)
    yield Alert(
        name="AnalysisMonthlyBudgetNearlySpent",
        severity="warning",
        expression=f"{spent} > {limit}",
        summary="Most of the budget of a month is spent.",
        description=f'${{{{ $value | printf "%.2f" }}}} spent this month, {of_budget}',
        dashboard=dashboards.COST,
        service=application.job,
        settings=("budget_month_usd", "budget_warning_share"),
        at_once=AT_ONCE,
    )
    yield Alert(
        name="AnalysisMonthlyBudgetForecast",
        severity="warning",
        # Once the budget is passed, that is known; nor must this alert outlast that one at the month's end.
        expression=f"{forecast} > {number(budget)}\nand on (job) {spent} <= {number(budget)}",
        summary="At the present pace, the month will cost more than its budget.",
        description=f'${{{{ $value | printf "%.2f" }}}} by the end of the month, {of_budget}',
        dashboard=dashboards.COST,
        service=application.job,
        settings=("budget_month_usd",),
        for_seconds=120,
        keep_seconds=3600,
    )


def _job(settings: Settings, application: Application) -> Iterator[Alert]:
    budget = settings.budget_job_usd
    if not budget:
        return
    yield Alert(
        name="AnalysisJobBudgetPassed",
        severity="critical",
        expression=f"{application.most(gauges.LARGEST_JOB)} > {number(budget)}",
        summary="One job costs more than the budget of a job.",
        description=f'A job costs ${{{{ $value | printf "%.2f" }}}}, of a budget of ${number(budget)}.',
        dashboard=dashboards.COST,
        service=application.job,
        settings=("budget_job_usd",),
        at_once=AT_ONCE,
    )


_UNKNOWN: Final = (
    (
        "unpriced",
        "AnalysisCallsUnpriced",
        "Calls have no price, so their cost is unknown.",
        "calls in an hour without a price",
    ),
    (
        "usage_missing",
        "AnalysisUsageMissing",
        "Answers did not say what they used, so their cost is unknown.",
        "answers in an hour without their usage",
    ),
    (
        "orphan",
        "AnalysisCallsOrphaned",
        "Calls belong to no run, so no job shows their cost.",
        "calls in an hour outside of any run",
    ),
)
"""Reason, name of the alert, summary, and what is counted."""


def _unknown(settings: Settings, application: Application) -> Iterator[Alert]:
    for reason, name, summary, counted in _UNKNOWN:
        risen = application.risen(c.OPENAI_UNACCOUNTED, "1h", f'reason="{reason}"')
        yield Alert(
            name=name,
            severity="warning",
            expression=f"{risen} > 0",
            summary=summary,
            description=f'About {{{{ $value | printf "%.0f" }}}} {counted}.',
            dashboard=dashboards.COST,
            service=application.job,
            at_once=BY_INCREASE,
        )
