"""The first page: is anything wrong, what did it cost, who used it."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.alert_rules.dashboards import COST, ERRORS, OVERVIEW, PERFORMANCE, USERS
from exporters.reports.health_score import FAIR, GOOD, SCORED_JOBS
from exporters.reports.jobs import BINS, LATEST, MOST_ACTIVE
from grafana.parts.dashboard import Board, row
from grafana.parts.filters import bucket, jobs, runs
from grafana.parts.kinds import bars, figures, rows
from grafana.parts.links import leading_to, runbook
from grafana.parts.panels import COUNT, DOLLARS, SECONDS, SHARE, About, Column, Owner, over_time, sql
from grafana.parts.plots import course, scatter
from grafana.parts.queries import Metrics, firing

from .common import budget
from .common.colors import STATUSES
from .common.shared import (
    BOUND,
    BOUND_LINE,
    COUNT_INCOMPLETE,
    DELIVERED,
    ENDED,
    IDS,
    INCOMPLETE,
    JOB_IDS,
    TOTAL,
)
from .cost import total

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
            row(4, (14, _totals()), (10, _batches())),
            row(8, (12, _per_day()), (12, _margin())),
            row(8, (8, _sizes()), (8, _times()), (8, _durations())),
            row(8, (12, _alerts()), (12, leading_to(_top_users(), USERS, "Users and cohorts"))),
            row(11, _latest()),
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


def _totals() -> Panel:
    return figures(
        About(
            title="Totals", question="How many jobs, users and candidates were there, and what did users pay?"
        ),
        sql(f"""
WITH {jobs("user_ref", "candidates", "status", "price_pico")}
SELECT count(*) AS "Jobs", count(DISTINCT user_ref) AS "Users", sum(candidates) AS "Candidates",
  sum(price_pico) FILTER (WHERE {DELIVERED}) / 1e12 AS "Revenue"
FROM job"""),
        unit=COUNT,
        columns={"Revenue": Column(unit=DOLLARS, decimals=2)},
    )


def _batches() -> Panel:
    return figures(
        About(
            title="Candidates of a job", question="How large is a job: on average, in the middle, at most?"
        ),
        sql(f"""
WITH {jobs("candidates")}
SELECT avg(candidates) AS "Average", percentile_cont(0.5) WITHIN GROUP (ORDER BY candidates) AS "Median",
  max(candidates) AS "Largest"
FROM job"""),
        unit=COUNT,
        decimals=0,
    )


def _per_day() -> Panel:
    return course(
        About(
            title="Jobs per day",
            question="How many jobs were run, and how did they end? By week from 4 months.",
        ),
        over_time(f"""
WITH {jobs("status")}
SELECT {bucket()} AS "time", status AS metric, count(*) AS value FROM job GROUP BY 1, 2 ORDER BY 1, 2"""),
        unit=COUNT,
        bars=True,
        stacked=True,
        columns=STATUSES,
    )


def _margin() -> Panel:
    return course(
        About(
            title="Revenue, API cost and margin per day",
            question="Does what users pay for delivered jobs cover what OpenAI costs? All runs count as cost. "
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


def _sizes() -> Panel:
    counts = ", ".join(
        f"('{name}', {place}, {least}, {most or 2**31 - 1})" for place, (name, least, most) in enumerate(BINS)
    )
    return bars(
        About(title="Jobs by size", question="How many candidates do jobs have?"),
        sql(f"""
WITH {jobs("candidates")}, bin(name, place, least, most) AS (VALUES {counts})
SELECT bin.name AS "Candidates", count(job.run_id) AS "Jobs"
FROM bin LEFT JOIN job ON job.candidates BETWEEN bin.least AND bin.most
GROUP BY bin.name, bin.place ORDER BY bin.place"""),
        unit=COUNT,
        across="Candidates",
    )


def _times() -> Panel:
    return scatter(
        About(title="Time by candidates", question="Does a job take longer the more candidates it has?"),
        sql(f"""
WITH {jobs("candidates", "duration_seconds", "trace_id", "analysis_ref")}
SELECT candidates AS "Candidates", duration_seconds AS "Duration", analysis_ref AS "Analysis", trace_id AS "Trace"
FROM job WHERE candidates > 0 AND duration_seconds IS NOT NULL ORDER BY started_at DESC LIMIT 1000"""),
        unit=SECONDS,
        x="Candidates",
        y="Duration",
        columns={"Candidates": Column(unit=COUNT), **JOB_IDS},
    )


def _durations() -> Panel:
    return figures(
        About(
            title="Processing time",
            question="How long does a job take: on average, the fastest, the slowest?",
        ),
        sql(f"""
WITH {jobs("duration_seconds")}
SELECT avg(duration_seconds) AS "Average", min(duration_seconds) AS "Fastest", max(duration_seconds) AS "Slowest"
FROM job"""),
        unit=SECONDS,
        decimals=1,
    )


def _alerts() -> Panel:
    return rows(
        About(
            title="Alerts",
            question="Which alerts are firing? Each leads to its runbook; Alertmanager knows who was told.",
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


def _latest() -> Panel:
    return rows(
        About(
            title=f"Latest {LATEST} jobs", question="What was run last, how did it end, and what did it cost?"
        ),
        sql(f"""
WITH {jobs("analysis_ref", "user_ref", "status", "candidates", "n_scored", "n_failed", "duration_seconds", "score_avg", "api_calls", "rate_limit_hits", "cost_pico", "cost_complete", "trace_id")}
SELECT analysis_ref AS "Analysis", started_at AS "Began", user_ref AS "User", status AS "Status",
  candidates AS "Candidates", n_scored + n_failed AS "Done", duration_seconds AS "Duration", score_avg AS "Mean score",
  api_calls AS "Calls", rate_limit_hits AS "Rate limits", cost_pico / 1e12 AS "Cost",
  {TOTAL}, trace_id AS "Trace"
FROM job ORDER BY started_at DESC, run_id LIMIT {LATEST}"""),
        columns={
            **IDS,
            "Duration": Column(unit=SECONDS, decimals=1),
            "Mean score": Column(unit=SHARE, decimals=0),
            "Rate limits": Column(limits={0: "text", 1: "orange"}),
            "Cost": Column(unit=DOLLARS, decimals=4),
        },
    )
