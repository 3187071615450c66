"""Jobs: how many there are, how large, how long they take, and the latest."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.reports.jobs import BINS, LATEST
from grafana.parts.filters import bucket, jobs
from grafana.parts.kinds import bars, figures, rows
from grafana.parts.panels import COUNT, DOLLARS, SECONDS, SHARE, About, Column, over_time, sql
from grafana.parts.plots import course, scatter

from ..common.colors import STATUSES
from ..common.shared import DELIVERED, IDS, JOB_IDS, TOTAL


def totals() -> Panel:
    """Return how many jobs, users and candidates there were, and what users paid."""
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


def batches() -> Panel:
    """Return how many candidates a job has."""
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


def per_day() -> Panel:
    """Return the jobs of each day by how they ended."""
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


def sizes() -> Panel:
    """Return the jobs by number of candidates."""
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


def times() -> Panel:
    """Return the time of each job against its candidates."""
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


def durations() -> Panel:
    """Return how long a job takes."""
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


def latest() -> Panel:
    """Return the latest jobs."""
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
