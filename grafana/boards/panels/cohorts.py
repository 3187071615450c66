"""Users by when they ran their first job: how many are new, who comes back, and how their jobs grow."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Panel

from grafana.parts.filters import jobs, users
from grafana.parts.kinds import figures, matrix
from grafana.parts.panels import COUNT, SHARE, About, Column, over_time, sql
from grafana.parts.plots import course

FIRST: Final = f"""first AS MATERIALIZED (
  SELECT run.user_ref, min(run.started_at) AS began FROM telemetry_jobs run
  WHERE {users("run")} GROUP BY run.user_ref)"""
"""The first job of each chosen user, of all time."""


def number() -> Panel:
    """Return how many users ran jobs, and how many of them for the first time."""
    return figures(
        About(
            title="Users",
            question="How many users ran jobs, how many for the first time, and how many jobs each?",
        ),
        sql(f"""
WITH {jobs("user_ref")}, {FIRST}
SELECT count(DISTINCT job.user_ref) AS "Users",
  count(DISTINCT job.user_ref) FILTER (WHERE first.began >= CAST($__timeFrom() AS timestamp)) AS "New",
  CAST(count(*) AS numeric) / nullif(count(DISTINCT job.user_ref), 0) AS "Jobs of a user"
FROM job JOIN first ON first.user_ref = job.user_ref"""),
        unit=COUNT,
        columns={"Jobs of a user": Column(decimals=1)},
    )


def new_and_returning() -> Panel:
    """Return new and returning users of each week."""
    return course(
        About(
            title="New and returning users per week",
            question="Do new users come, and do they come back? New: the first job ever was in that week (UTC).",
        ),
        over_time(f"""
WITH {jobs("user_ref")}, {FIRST},
active AS (SELECT DISTINCT date_trunc('week', started_at) AS week, user_ref FROM job)
SELECT active.week AS "time", count(*) FILTER (WHERE first.began >= active.week) AS "New",
  count(*) FILTER (WHERE first.began < active.week) AS "Returning"
FROM active JOIN first ON first.user_ref = active.user_ref GROUP BY 1 ORDER BY 1"""),
        unit=COUNT,
        bars=True,
        stacked=True,
        columns={"New": Column(color="green"), "Returning": Column(color="blue")},
    )


def growth() -> Panel:
    """Return how large jobs are in each week."""
    return course(
        About(
            title="Batch size per week", question="Do jobs become larger? The median and the 90th percentile."
        ),
        over_time(f"""
WITH {jobs("candidates")}
SELECT date_trunc('week', started_at) AS "time", percentile_cont(0.5) WITHIN GROUP (ORDER BY candidates) AS "Median",
  percentile_cont(0.9) WITHIN GROUP (ORDER BY candidates) AS "90th percentile"
FROM job WHERE candidates > 0 GROUP BY 1 ORDER BY 1"""),
        unit=COUNT,
        decimals=0,
    )


def retention() -> Panel:
    """Return which share of the users of a month came back later."""
    return matrix(
        About(
            title="Retention",
            question="Which share of the users who began in a month ran a job so many months later? At most 13 months. "
            "With a batch size or a model: such a job.",
        ),
        sql(f"""
WITH {jobs("user_ref")}, {FIRST},
began AS MATERIALIZED (SELECT user_ref, date_trunc('month', began) AS month FROM first),
size AS (SELECT month, count(*) AS users FROM began GROUP BY month),
active AS (
  SELECT DISTINCT began.month, job.user_ref,
    CAST(extract(year FROM age(date_trunc('month', job.started_at), began.month)) * 12
      + extract(month FROM age(date_trunc('month', job.started_at), began.month)) AS int) AS later
  FROM job JOIN began ON began.user_ref = job.user_ref)
SELECT to_char(active.month, 'YYYY-MM') AS "Began", lpad(CAST(active.later AS text), 2, '0') AS "Months later",
  CAST(count(*) AS numeric) / nullif(max(size.users), 0) AS "Share"
FROM active JOIN size ON size.month = active.month
WHERE active.later <= 13 AND active.month > CAST($__timeTo() AS timestamp) - interval '14 months'
GROUP BY active.month, active.later ORDER BY 2, 1"""),
        unit=SHARE,
        down="Began",
        across="Months later",
        value="Share",
        limits={0: "red", 0.2: "orange", 0.4: "yellow", 0.6: "green"},
    )
