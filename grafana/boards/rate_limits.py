"""When and why OpenAI refuses requests, and what that costs in time."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.alert_rules.dashboards import RATE_LIMITS
from exporters.assets.host_values import HostValue
from grafana.parts.dashboard import Board, row
from grafana.parts.filters import bucket, calls, jobs
from grafana.parts.kinds import figures, rows
from grafana.parts.panels import COUNT, SECONDS, SHARE, About, Column, Owner, over_time, sql
from grafana.parts.plots import course, heat, scatter
from grafana.parts.queries import APPLICATION, Metrics
from telemetry import conventions as c
from telemetry.conventions.gauges import RATE_LIMITED_TODAY

from .common.shared import IDS, NO_GAUGES, NO_PROCESS

UNLIMITED = "No request was refused in this period with these filters."


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid=RATE_LIMITS,
        title="Rate limits",
        description="When OpenAI refuses requests for their rate, which jobs that affects, and how much room is left.",
        rows=(
            row(5, (6, _today()), (8, _affected()), (5, _correlation()), (5, _used_up())),
            row(10, _hours()),
            row(9, (14, _over_time()), (10, _scatter())),
            row(8, (8, _attempts()), (8, _backoff()), (8, _headroom())),
            row(5, _by_model()),
            row(9, _jobs()),
        ),
    )


def _today() -> Panel:
    return figures(
        About(
            title="Rate-limited jobs today",
            question=f"Do rate limits hinder jobs today? More than {HostValue('rate_limited_jobs'):.0f} raise an alert.",
            owner=Owner.ON_CALL,
            empty=NO_GAUGES,
        ),
        [Metrics(APPLICATION.most(RATE_LIMITED_TODAY), "Today")],
        unit=COUNT,
        limits={0: "green", HostValue("rate_limited_jobs_alert"): "red"},
    )


def _affected() -> Panel:
    return figures(
        About(
            title="Affected jobs",
            question="How many jobs met a rate limit, which share, and how long did they wait?",
        ),
        sql(f"""
WITH {jobs("rate_limit_hits", "backoff_seconds")}
SELECT count(*) FILTER (WHERE rate_limit_hits > 0) AS "Jobs",
  CAST(count(*) FILTER (WHERE rate_limit_hits > 0) AS numeric) / nullif(count(rate_limit_hits), 0) AS "Share",
  sum(backoff_seconds) AS "Waited"
FROM job"""),
        unit=COUNT,
        columns={
            "Share": Column(unit=SHARE, decimals=1, limits={0: "green", 0.05: "orange", 0.2: "red"}),
            "Waited": Column(unit=SECONDS, decimals=0),
        },
    )


def _hourly(filters: str) -> str:
    return f"""WITH {filters}, hour AS (
  SELECT date_trunc('hour', started_at) AS hour, avg(candidates) AS candidates,
    CAST(count(*) FILTER (WHERE rate_limit_hits > 0) AS float8) / nullif(count(*), 0) AS share
  FROM job WHERE candidates > 0 AND rate_limit_hits IS NOT NULL GROUP BY 1)"""


def _correlation() -> Panel:
    return figures(
        About(
            title="Correlation with size",
            question="Do large jobs meet rate limits? Pearson's r over the hours: 1 always, 0 no relation.",
            owner=Owner.DEVELOPERS,
            empty="There is no relation to compute: too few hours, or no rate limit at all.",
        ),
        sql(f"""
{_hourly(jobs("candidates", "rate_limit_hits"))}
SELECT corr(candidates, share) AS "r", count(*) AS "Hours" FROM hour"""),
        unit="none",
        decimals=2,
        columns={"Hours": Column(unit=COUNT, decimals=0)},
    )


def _used_up() -> Panel:
    return figures(
        About(
            title="Quota and spend limits",
            question="Did requests fail because the quota or the spend limit is used up? Waiting does not help then.",
            owner=Owner.ON_CALL,
        ),
        sql(f"""
WITH {calls("quota_hits", "spend_limit_hits")}
SELECT sum(quota_hits) AS "Quota", sum(spend_limit_hits) AS "Spend limit" FROM call"""),
        unit=COUNT,
        limits={0: "green", 1: "red"},
    )


def _hours() -> Panel:
    return heat(
        About(
            title="When rate limits occur",
            question="On which days and at which hours (UTC) do jobs meet rate limits? Each row is an hour of the day.",
            empty=UNLIMITED,
        ),
        over_time(f"""
WITH {jobs("rate_limit_hits")}, met AS (
  SELECT date_trunc('day', started_at) AS day, CAST(extract(hour FROM started_at) AS int) AS hour,
    count(*) FILTER (WHERE rate_limit_hits > 0) AS jobs
  FROM job GROUP BY 1, 2)
SELECT days.day AS "time", lpad(CAST(hours.hour AS text), 2, '0') AS metric, coalesce(met.jobs, 0) AS value
FROM (SELECT DISTINCT day FROM met) days CROSS JOIN generate_series(0, 23) AS hours(hour)
LEFT JOIN met ON met.day = days.day AND met.hour = hours.hour
ORDER BY 1, 2"""),
        unit=COUNT,
    )


def _over_time() -> Panel:
    return course(
        About(
            title="Rate-limited jobs and batch size",
            question="Do rate limits come with larger jobs?",
            empty=UNLIMITED,
        ),
        over_time(f"""
WITH {jobs("candidates", "rate_limit_hits")}
SELECT {bucket()} AS "time", count(*) FILTER (WHERE rate_limit_hits > 0) AS "Rate-limited jobs",
  avg(candidates) AS "Candidates of a job"
FROM job GROUP BY 1 ORDER BY 1"""),
        unit=COUNT,
        bars=True,
        columns={
            "Rate-limited jobs": Column(color="orange"),
            "Candidates of a job": Column(color="blue", line=True, on_right=True, decimals=0),
        },
    )


def _scatter() -> Panel:
    return scatter(
        About(
            title="Share of rate-limited jobs by size",
            question="Each point is an hour: how large were its jobs, and how many of them met a limit?",
            owner=Owner.DEVELOPERS,
        ),
        sql(f"""
{_hourly(jobs("candidates", "rate_limit_hits"))}
SELECT candidates AS "Candidates of a job", share AS "Rate-limited" FROM hour ORDER BY hour DESC LIMIT 2000"""),
        unit=SHARE,
        x="Candidates of a job",
        y="Rate-limited",
        columns={"Candidates of a job": Column(unit=COUNT, decimals=0)},
    )


def _attempts() -> Panel:
    return course(
        About(
            title="Calls and retries",
            question="How many requests does the client repeat, because of the rate and otherwise?",
            owner=Owner.DEVELOPERS,
        ),
        over_time(f"""
WITH {calls("attempts", "calls", "rate_limit_retries", "other_retries")}
SELECT {bucket()} AS "time", sum(calls) AS "Calls", sum(rate_limit_retries) AS "Retries after a rate limit",
  sum(other_retries) AS "Other retries"
FROM call GROUP BY 1 ORDER BY 1"""),
        unit=COUNT,
        bars=True,
        columns={
            "Calls": Column(color="blue", line=True, on_right=True),
            "Retries after a rate limit": Column(color="orange"),
            "Other retries": Column(color="purple"),
        },
    )


def _backoff() -> Panel:
    waits = {"Waited": c.OPENAI_BACKOFF, "Asked for by Retry-After": c.OPENAI_RETRY_AFTER}
    return course(
        About(
            title="Waiting for OpenAI",
            question="How many calls wait at the same time, on average, and for how many did OpenAI ask for it?",
            owner=Owner.DEVELOPERS,
            empty=NO_PROCESS,
        ),
        [
            Metrics(f"sum(rate({APPLICATION.series(metric)}[$__rate_interval]))", name)
            for name, metric in waits.items()
        ],
        # Seconds of waiting in each second are a number of calls.
        unit=COUNT,
    )


def _headroom() -> Panel:
    left = APPLICATION.series(c.OPENAI_HEADROOM)
    return course(
        About(
            title="Room left",
            question="Which share of the rate limits was left at the last answer? Near 0 requests are refused.",
            owner=Owner.ON_CALL,
            empty="No answer of OpenAI said how much is left.",
        ),
        [Metrics(f"min by (model, limit) ({left})", "{{model}} {{limit}}")],
        unit=SHARE,
        limits={0: "red", HostValue("headroom_share"): "text"},
    )


def _by_model() -> Panel:
    return rows(
        About(title="By stage and model", question="Which calls are refused?", empty=UNLIMITED),
        sql(f"""
WITH {calls("stage", "model", "calls", "attempts", "rate_limit_hits", "quota_hits", "spend_limit_hits", "backoff_seconds")}
SELECT stage AS "Stage", model AS "Model", sum(calls) AS "Calls", sum(rate_limit_hits) AS "Rate limits",
  sum(quota_hits + spend_limit_hits) AS "Used up", sum(backoff_seconds) AS "Waited"
FROM call GROUP BY 1, 2 HAVING sum(rate_limit_hits + quota_hits + spend_limit_hits) > 0 ORDER BY 4 DESC LIMIT 50"""),
        columns={"Waited": Column(unit=SECONDS, decimals=0)},
    )


def _jobs() -> Panel:
    return rows(
        About(
            title="Affected jobs, the latest first", question="Which jobs met a rate limit?", empty=UNLIMITED
        ),
        sql(f"""
WITH {jobs("analysis_ref", "user_ref", "status", "candidates", "attempts", "rate_limit_hits", "backoff_seconds", "duration_seconds", "trace_id")}
SELECT analysis_ref AS "Analysis", started_at AS "Began", user_ref AS "User", status AS "Status",
  candidates AS "Candidates", attempts AS "Attempts", rate_limit_hits AS "Rate limits", backoff_seconds AS "Waited",
  duration_seconds AS "Duration", trace_id AS "Trace"
FROM job WHERE rate_limit_hits > 0 ORDER BY started_at DESC, run_id LIMIT 50"""),
        columns={**IDS, **dict.fromkeys(("Waited", "Duration"), Column(unit=SECONDS, decimals=1))},
    )
