"""The first page: is anything wrong, what did it cost, who used it."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.alert_rules.dashboards import COST, ERRORS, OVERVIEW, PERFORMANCE, USERS
from exporters.reports.health_score import FAIR, GOOD, SCORED_JOBS
from exporters.reports.jobs import MOST_ACTIVE
from grafana.parts.dashboard import Board, row
from grafana.parts.filters import bucket, jobs, runs
from grafana.parts.kinds import figures, rows
from grafana.parts.links import leading_to, runbook
from grafana.parts.panels import COUNT, DOLLARS, SHARE, About, Column, Owner, over_time, sql
from grafana.parts.plots import course
from grafana.parts.queries import Metrics, firing

from .common import budget
from .common.shared import (
    BOUND,
    BOUND_LINE,
    COUNT_INCOMPLETE,
    DELIVERED,
    ENDED,
    FILTERED,
    IDS,
    INCOMPLETE,
)
from .cost import total
from .panels import workload

EACH: Final = f"sum by (alertname, severity, service) ({firing('critical|warning')})"
"""The alerts that are firing; one that fires for several stages or models is one."""


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid=OVERVIEW,
        title="Overview",
        description="Is anything wrong, what did it cost and against which limit, and who used it? Start here.",
        rows=(
            row(
                5,
                (4, _firing()),
                (4, leading_to(_success(), ERRORS, "Errors")),
                (4, leading_to(_health(), PERFORMANCE, "Performance")),
                (7, leading_to(total(), COST, "Cost")),
                (5, leading_to(budget.used(), COST, "Cost")),
            ),
            row(4, (14, workload.totals()), (10, workload.batches())),
            row(8, (12, workload.per_day()), (12, _margin())),
            row(8, (8, workload.sizes()), (8, workload.times()), (8, workload.durations())),
            row(8, (12, _alerts()), (12, leading_to(_top_users(), USERS, "Users and cohorts"))),
            row(11, workload.latest()),
        ),
    )


def _firing() -> Panel:
    return figures(
        About(
            title="Alerts firing",
            question="Is anything wrong now? Critical ones and warnings about the chosen application and the "
            "programs around it; the list is below.",
            owner=Owner.ON_CALL,
            empty="Prometheus does not answer.",
        ),
        [Metrics(f"count({EACH}) or vector(0)", "Firing", instant=True)],
        unit=COUNT,
        limits={0: "green", 1: "red"},
    )


def _success() -> Panel:
    return figures(
        About(
            title="Success rate",
            question="Which share of the jobs that ended was completed? History is left out.",
        ),
        sql(f"""
WITH {jobs("kind", "status")}
SELECT CAST(count(*) FILTER (WHERE status = 'completed') AS numeric) / nullif(count(*), 0) AS "Completed"
FROM job WHERE {ENDED}"""),
        unit=SHARE,
        decimals=1,
        limits={0: "red", 0.9: "orange", 0.97: "green"},
    )


def _health() -> Panel:
    return figures(
        About(
            title="Health score",
            question=f"Which share of the last {SCORED_JOBS} jobs had no issue: no failed part, few retries and "
            "fallbacks, fast answers?",
        ),
        sql(f"""
WITH {jobs("kind")}, latest AS (
  SELECT issue.has_issue FROM job JOIN telemetry_job_issues issue ON issue.run_id = job.run_id
  ORDER BY job.started_at DESC, job.run_id LIMIT {SCORED_JOBS})
SELECT CAST(count(*) FILTER (WHERE NOT has_issue) AS numeric) / nullif(count(*), 0) AS "Without an issue"
FROM latest"""),
        unit=SHARE,
        decimals=0,
        limits={0: "red", FAIR: "orange", GOOD: "green"},
    )


def _margin() -> Panel:
    return course(
        About(
            title="Revenue, API cost and margin per day",
            question=f"Does what users pay for delivered jobs cover what OpenAI costs? All runs count as cost. {FILTERED} "
            "With a model: what it costs, and no margin.",
        ),
        over_time(f"""
WITH {runs("cost_pico", "cost_complete")}, spent AS (
  SELECT {bucket()} AS day, sum(cost_pico) / 1e12 AS cost,
    nullif(count(*) FILTER (WHERE NOT cost_complete), 0) AS incomplete
  FROM chosen GROUP BY 1),
{jobs("status", "price_pico")}, earned AS MATERIALIZED (
  SELECT {bucket()} AS day, sum(price_pico) FILTER (WHERE {DELIVERED}) / 1e12 AS price FROM job GROUP BY 1)
SELECT spent.day AS "time", earned.price AS "Revenue", spent.cost AS "API cost",
  CASE WHEN bool_or(earned.price IS NOT NULL) OVER () AND ${{model:sqlstring}} = 'all'
    THEN coalesce(earned.price, 0) - coalesce(spent.cost, 0) END AS "Margin", spent.incomplete AS "{INCOMPLETE}"
FROM spent LEFT JOIN earned ON earned.day = spent.day ORDER BY 1"""),
        unit=DOLLARS,
        bars=True,
        columns={
            "Revenue": Column(color="green"),
            "API cost": Column(color="orange"),
            "Margin": Column(color="blue", line=True),
            INCOMPLETE: BOUND_LINE,
        },
    )


def _alerts() -> Panel:
    return rows(
        About(
            title="Alerts",
            question="Which alerts are firing? Each leads to its runbook; Alertmanager knows who was notified.",
            owner=Owner.ON_CALL,
            empty="No alert is firing now.",
        ),
        [Metrics(f"sort_desc({EACH})", instant=True)],
        columns={
            "Time": Column(hidden=True),
            "Value": Column(hidden=True),
            "alertname": Column(title="Alert", links=(runbook(),)),
            "service": Column(title="Service"),
            "severity": Column(
                title="Severity", texts={"critical": "critical: act now", "warning": "warning: look"}
            ),
        },
    )


def _top_users() -> Panel:
    return rows(
        About(title="Most active users", question="Who runs the most jobs, and what do they cost?"),
        sql(f"""
WITH {jobs("user_ref", "candidates", "cost_pico", "cost_complete")}
SELECT user_ref AS "User", count(*) AS "Jobs", sum(candidates) AS "Candidates", sum(cost_pico) / 1e12 AS "Cost",
  {COUNT_INCOMPLETE}
FROM job WHERE user_ref IS NOT NULL GROUP BY user_ref ORDER BY 2 DESC, 1 LIMIT {MOST_ACTIVE}"""),
        columns={"User": IDS["User"], "Cost": Column(unit=DOLLARS, decimals=2), INCOMPLETE: BOUND},
    )
