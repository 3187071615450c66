"""Incidents of money: budgets that are nearly spent, or passed, by jobs that are written into SQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from telemetry.settings import Settings
from tests.live.history import DOLLAR, zone
from tests.live.incident import incident
from tests.live.system import System

BUDGETS = Settings()
"""The default budgets, which the host does not change."""
FORECAST = "AnalysisMonthlyBudgetForecast"
"""What a day may cost is too much for each day of a month; on its first days that is the pace so far."""


@contextmanager
def _spent(system: System, dollars: float, jobs: int = 20, days_ago: int = 0) -> Iterator[None]:
    """Have jobs cost so much together."""
    ids = system.history.add(jobs, days_ago=days_ago, cost_pico=int(dollars / jobs * DOLLAR))
    yield
    system.history.remove(ids)


def _early_this_month() -> int:
    """Return how many days ago a day of this month was, if possible not today."""
    return min(datetime.now(UTC).astimezone(ZoneInfo(zone())).day - 1, 1)


@incident(
    "AnalysisDailyBudgetNearlySpent",
    how="twenty jobs of today cost 90 % of the budget",
    cure="they are taken away",
    also=(FORECAST,),
)
def day_nearly(system: System) -> Iterator[None]:
    with _spent(system, 0.9 * BUDGETS.budget_day_usd):
        yield


@incident(
    "AnalysisDailyBudgetPassed",
    how="twenty jobs of today cost 110 % of the budget",
    cure="they are taken away",
    also=("AnalysisDailyBudgetNearlySpent", FORECAST),
)
def day(system: System) -> Iterator[None]:
    with _spent(system, 1.1 * BUDGETS.budget_day_usd):
        yield


@incident(
    "AnalysisJobBudgetPassed",
    how="one job of today costs 110 % of the budget of a job",
    cure="it is taken away",
    also=(FORECAST,),
)
def job(system: System) -> Iterator[None]:
    with _spent(system, 1.1 * BUDGETS.budget_job_usd, jobs=1):
        yield


@incident(
    "AnalysisMonthlyBudgetNearlySpent",
    FORECAST,
    how="jobs of this month cost 99.5 % of the budget",
    cure="they are taken away",
    also=("AnalysisDailyBudgetPassed", "AnalysisDailyBudgetNearlySpent", "AnalysisJobBudgetPassed"),
)
def month_nearly(system: System) -> Iterator[None]:
    with _spent(system, 0.995 * BUDGETS.budget_month_usd, jobs=1000, days_ago=_early_this_month()):
        yield


@incident(
    "AnalysisMonthlyBudgetPassed",
    how="jobs of this month cost 110 % of the budget",
    cure="they are taken away",
    also=(
        *("AnalysisMonthlyBudgetNearlySpent", FORECAST),
        *("AnalysisDailyBudgetPassed", "AnalysisDailyBudgetNearlySpent", "AnalysisJobBudgetPassed"),
    ),
)
def month(system: System) -> Iterator[None]:
    with _spent(system, 1.1 * BUDGETS.budget_month_usd, jobs=1000, days_ago=_early_this_month()):
        yield
