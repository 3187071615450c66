"""What is wrong with money."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from exporters.sql.schema.tables import runs
from telemetry import conventions as c
from tests.months.incidents.incident import Incident
from tests.months.month import Month, Write
from tests.months.scene import DAY, MINUTE, SETTINGS, at, naive


def _runaway_job(month: Month) -> None:
    (job, *_) = month.between(at(10, 21, 11), at(10, 21, 18))
    job.run["cost_pico"] = int(6.5 * 1e12)


def _unpriced(month: Month) -> None:
    for job in month.between(at(10, 22, 11), at(10, 22, 15)):
        job.model, job.has_price = "gpt-6-preview", False
        job.run["cost_pico"], job.run["cost_complete"] = 0, False


def _no_usage(month: Month) -> None:
    for job in month.between(at(10, 23, 13), at(10, 23, 16)):
        job.has_usage = False
        job.run["cost_pico"], job.run["cost_complete"] = 0, False


def _campaign(month: Month) -> None:
    """A campaign brings several times as many jobs for a day, so many that they cost more than its budget."""
    begin, end = at(11, 12), at(11, 13)
    copies = "uvwxyz"[: max(math.ceil(1.1 * SETTINGS.budget_day_usd / month.cost(begin, end)) - 1, 2)]
    for job in month.between(begin, end):
        for number, letter in enumerate(copies, start=1):
            copy = replace(job, run=dict(job.run), statuses={})
            copy.run["rate_limit_hits"] = 0
            copy.run["run_id"] = letter + job.run["run_id"][1:]
            copy.shift(number * 7 * MINUTE)
            month.jobs.append(copy)
    month.jobs.sort(key=lambda job: job.start)


def _evaluation(month: Month) -> None:
    """From the middle of November on, an evaluation of prompts fills up each day to the same amount.

    It is so much that the month costs 88 % of its budget.
    """
    costs = {day: month.cost(at(11, day), at(11, day) + DAY) for day in range(1, 31)}
    planned = SETTINGS.budget_month_usd * 0.88
    amounts = (cents / 100 for cents in range(3000))
    level = next(one for one in amounts if sum(_filled(costs, one).values()) >= planned)
    for day, dollars in _filled(costs, level).items():
        if dollars > costs[day]:
            begin = at(11, day, 20)
            month.written.append((begin, _late_run(begin, int((dollars - costs[day]) * 1e12))))


def _filled(costs: Mapping[int, float], level: float) -> dict[int, float]:
    return {day: max(cost, level) if day >= 14 else cost for day, cost in costs.items()}


def _late_run(second: int, pico: int) -> Write:
    row = {
        "run_id": f"late-{second}",
        "kind": "late",
        "source": "spans",
        "synthetic": False,
        "version": 1,
        "status": c.COMPLETED,
        "started_at": naive(second),
        "ended_at": naive(second),
        "seen_at": naive(second),
        "duration_us": 1,
        "cost_pico": pico,
        "cost_complete": True,
    }
    return lambda connection: connection.execute(runs.insert(), [row])


INCIDENTS: Final = (
    Incident(
        "one job costs $6.50",
        at(10, 21, 11),
        at(10, 23, 0, 1),
        {"AnalysisJobBudgetPassed": ""},
        _runaway_job,
        {"AnalysisCostAnomaly": "it alone may double the cost of its day"},
    ),
    Incident(
        "a new model has no price, until it is replaced",
        at(10, 22, 11),
        at(10, 22, 17),
        {"AnalysisCallsUnpriced": ""},
        _unpriced,
    ),
    Incident(
        "answers lack their usage for three hours",
        at(10, 23, 13),
        at(10, 23, 18),
        {"AnalysisUsageMissing": ""},
        _no_usage,
    ),
    Incident(
        "a campaign brings several times as many jobs for a day",
        at(11, 12),
        at(11, 14, 1),
        {
            "AnalysisVolumeAnomaly": "",
            "AnalysisCostAnomaly": "they cost as many times as much",
            "AnalysisDailyBudgetNearlySpent": "as much as is planned for two days",
            "AnalysisDailyBudgetPassed": "as much as is planned for two days",
        },
        _campaign,
    ),
    Incident(
        "an evaluation of prompts, from the middle of November on",
        at(11, 14),
        at(11, 30) + DAY,
        {"AnalysisMonthlyBudgetNearlySpent": ""},
        _evaluation,
    ),
)
