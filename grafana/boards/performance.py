"""How long things take."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.alert_rules.dashboards import PERFORMANCE
from exporters.reports.jobs import LATEST
from grafana.parts.dashboard import Board, row
from grafana.parts.filters import bucket, calls, jobs, runs
from grafana.parts.kinds import bars, figures, rows
from grafana.parts.panels import COUNT, SECONDS, SHARE, About, Column, Owner, over_time, sql
from grafana.parts.plots import course, scatter
from grafana.parts.queries import APPLICATION, Metrics
from telemetry import conventions as c
from telemetry.conventions.gauges import JOBS_WAITING

from .common.colors import STAGES
from .common.shared import IDS, JOB_IDS, NO_PROCESS

GENAI_DURATION: Final = "gen_ai_client_operation_duration_seconds"
FIRST_TOKEN: Final = "gen_ai_client_operation_time_to_first_chunk_seconds"


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid=PERFORMANCE,
        title="Performance",
        description="How long jobs, stages and calls take, how long jobs wait, and whether that changes.",
        rows=(
            row(5, (9, _times()), (8, _week()), (7, _answers())),
            row(9, (12, _percentiles()), (12, _by_stage())),
            row(9, (12, _by_size()), (12, _scatter())),
            row(8, (12, _waiting()), (12, _stage_live())),
            row(8, (12, _latency()), (12, _queue())),
            row(10, _slowest()),
        ),
    )


def _times() -> Panel:
    return figures(
        About(
            title="Duration of a job",
            question="How long does a job take: in the middle, at the 95th percentile?",
        ),
        sql(f"""
WITH {jobs("duration_seconds")}
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_seconds) AS "Median",
  percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds) AS "95th percentile",
  max(duration_seconds) AS "Slowest"
FROM job"""),
        unit=SECONDS,
        decimals=1,
    )


def _week() -> Panel:
    return figures(
        About(
            title="Week over week",
            question="Is a candidate processed faster or slower in the last 7 days than in the 7 days before?",
            empty="There are no two weeks with jobs at the end of this period.",
        ),
        sql(f"""
WITH {jobs("duration_seconds", "candidates")}, parted AS (
  SELECT started_at >= CAST($__timeTo() AS timestamp) - interval '7 days' AS is_new,
    sum(duration_seconds) / nullif(sum(candidates), 0) AS seconds
  FROM job WHERE candidates > 0 AND started_at >= CAST($__timeTo() AS timestamp) - interval '14 days' GROUP BY 1)
SELECT max(seconds) FILTER (WHERE is_new) AS "A candidate now",
  max(seconds) FILTER (WHERE is_new) / nullif(max(seconds) FILTER (WHERE NOT is_new), 0) - 1 AS "Change"
FROM parted"""),
        unit=SECONDS,
        decimals=2,
        columns={"Change": Column(unit=SHARE, decimals=0, limits={-1: "green", 0.1: "orange", 0.5: "red"})},
    )


def _answers() -> Panel:
    return figures(
        About(
            title="API response time",
            question="How long does OpenAI take to answer a call, on average, retries and waits included?",
        ),
        sql(f"""
WITH {calls("operation", "calls", "duration_seconds", "backoff_seconds")}
SELECT sum(duration_seconds) / nullif(sum(calls), 0) AS "A call",
  sum(backoff_seconds) / nullif(sum(calls), 0) AS "Of that, waiting"
FROM call WHERE operation <> ''"""),
        unit=SECONDS,
        decimals=2,
        limits={0: "green", 3: "orange", 5: "red"},
    )


def _percentiles() -> Panel:
    return course(
        About(title="Duration of jobs over time", question="Do jobs take longer than before?"),
        over_time(f"""
WITH {jobs("duration_seconds")}
SELECT {bucket()} AS "time", percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_seconds) AS "Median",
  percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds) AS "95th percentile"
FROM job WHERE duration_seconds IS NOT NULL GROUP BY 1 ORDER BY 1"""),
        unit=SECONDS,
    )


def _by_stage() -> Panel:
    return course(
        About(
            title="Time in stages",
            question="Which stage takes the time of a job? Mean seconds for which it was open; stages may overlap.",
            owner=Owner.DEVELOPERS,
        ),
        over_time(f"""
WITH {runs("kind")}, per AS (
  SELECT {bucket("chosen.started_at")} AS day, part.stage, sum(part.duration_seconds) AS seconds,
    count(DISTINCT part.run_id) AS runs
  FROM chosen JOIN telemetry_stages part ON part.run_id = chosen.run_id AND $__timeFilter(part.started_at)
  WHERE part.operation = '' GROUP BY 1, 2)
SELECT day AS "time", stage AS metric, seconds / nullif(runs, 0) AS value FROM per ORDER BY 1, 2"""),
        unit=SECONDS,
        bars=True,
        stacked=True,
        columns=STAGES,
    )


def _by_size() -> Panel:
    return bars(
        About(title="Duration by batch size", question="How long do small, medium and large jobs take?"),
        sql(f"""
WITH {jobs("batch_size", "duration_seconds", "candidates")}
SELECT batch_size AS "Batch", percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_seconds) AS "Median",
  percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds) AS "95th percentile"
FROM job WHERE duration_seconds IS NOT NULL GROUP BY batch_size ORDER BY min(candidates)"""),
        unit=SECONDS,
        across="Batch",
    )


def _scatter() -> Panel:
    return scatter(
        About(
            title="Time for each candidate by size",
            question="Are large jobs faster or slower for each candidate, and which jobs stand out?",
            owner=Owner.DEVELOPERS,
        ),
        sql(f"""
WITH {jobs("candidates", "duration_seconds", "analysis_ref", "trace_id")}
SELECT candidates AS "Candidates", duration_seconds / nullif(candidates, 0) AS "Each candidate",
  analysis_ref AS "Analysis", trace_id AS "Trace"
FROM job WHERE candidates > 0 AND duration_seconds IS NOT NULL ORDER BY started_at DESC LIMIT 1000"""),
        unit=SECONDS,
        x="Candidates",
        y="Each candidate",
        columns={"Candidates": Column(unit=COUNT), **JOB_IDS},
    )


def _waiting() -> Panel:
    return course(
        About(
            title="Wait in the queue over time",
            question="How long do jobs wait for a worker? Jobs that run within a request do not wait.",
            empty="No job of this period waited in a queue.",
        ),
        over_time(f"""
WITH {jobs("queue_wait_seconds")}
SELECT {bucket()} AS "time", percentile_cont(0.5) WITHIN GROUP (ORDER BY queue_wait_seconds) AS "Median",
  percentile_cont(0.95) WITHIN GROUP (ORDER BY queue_wait_seconds) AS "95th percentile"
FROM job WHERE queue_wait_seconds IS NOT NULL GROUP BY 1 ORDER BY 1"""),
        unit=SECONDS,
    )


def _quantile(series: str, share: float, *labels: str) -> str:
    by = ", ".join(("le", *labels))
    return f"histogram_quantile({share}, sum by ({by}) (rate({series}[$__rate_interval])))"


def _stage_live() -> Panel:
    series = APPLICATION.series(c.STAGE_DURATION, suffix="_bucket")
    return course(
        About(
            title="95th percentile of stages now",
            question="Which stage is slow at the moment? A point leads to a trace.",
            owner=Owner.ON_CALL,
            empty=NO_PROCESS,
        ),
        [Metrics(_quantile(series, 0.95, "stage"), "{{stage}}", exemplars=True)],
        unit=SECONDS,
        columns=STAGES,
    )


def _latency() -> Panel:
    slow, first = (f'{name}_bucket{{job="$job"}}' for name in (GENAI_DURATION, FIRST_TOKEN))
    return course(
        About(
            title="API latency and time to the first token",
            question="How long does OpenAI take now, at the 95th percentile, and until the first token of a stream?",
            owner=Owner.ON_CALL,
            empty=NO_PROCESS,
        ),
        [
            Metrics(_quantile(slow, 0.95), "Answer", exemplars=True),
            Metrics(_quantile(first, 0.95), "First token", exemplars=True),
        ],
        unit=SECONDS,
    )


def _queue() -> Panel:
    return course(
        About(
            title="Jobs under way and waiting",
            question="Are there more jobs than workers? Waiting jobs are known only where the application counts them.",
            owner=Owner.ON_CALL,
            empty=NO_PROCESS,
        ),
        [
            Metrics(f"sum({APPLICATION.series(c.RUNS_ACTIVE)})", "Under way"),
            Metrics(APPLICATION.most(JOBS_WAITING), "Waiting"),
        ],
        unit=COUNT,
    )


def _slowest() -> Panel:
    return rows(
        About(title="Slowest jobs", question="Which jobs took longest, and was it waiting, calls or size?"),
        sql(f"""
WITH {jobs("analysis_ref", "user_ref", "status", "candidates", "duration_seconds", "queue_wait_seconds", "backoff_seconds", "api_calls", "rate_limit_hits", "trace_id")}
SELECT analysis_ref AS "Analysis", started_at AS "Began", user_ref AS "User", status AS "Status",
  candidates AS "Candidates", duration_seconds AS "Duration", duration_seconds / nullif(candidates, 0) AS "A candidate",
  queue_wait_seconds AS "In the queue", backoff_seconds AS "Waited", api_calls AS "Calls",
  rate_limit_hits AS "Rate limits", trace_id AS "Trace"
FROM job WHERE duration_seconds IS NOT NULL ORDER BY duration_seconds DESC, run_id LIMIT {LATEST}"""),
        columns={
            **IDS,
            **dict.fromkeys(
                ("Duration", "A candidate", "In the queue", "Waited"),
                Column(unit=SECONDS, decimals=1),
            ),
        },
    )
