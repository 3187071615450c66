"""The gauges that come from SQL or from the host, which one process exports for all.

Each has a name of its own for every period, so that a rule reads
``analysis_overrides_7d_ratio > 1.5 * analysis_overrides_30d_ratio``.
"""

from __future__ import annotations

from typing import Final

from .metric import Metric

TODAY: Final = "today"
"""Source of the gauges that a query renews every TELEMETRY_GAUGES_SECONDS."""
DAYS: Final = "days"
"""Source of the gauges that change once a day, and are renewed less often."""
DAYS_PERIODS: Final = 20
"""They are queried every so many times that those of today are."""
HOST: Final = "host"
"""Source of the gauges whose values a callable of the host returns."""

OVERRIDES_7D: Final = Metric(
    "analysis.overrides.7d.ratio",
    "gauge",
    "1",
    "Share of the jobs over the limit that were run all the same, in 7 days with today, 0 to 1.",
    source=TODAY,
)
OVERRIDES_30D: Final = Metric(
    "analysis.overrides.30d.ratio",
    "gauge",
    "1",
    "Share of the jobs over the limit that were run all the same, in 30 days with today, 0 to 1.",
    source=TODAY,
)
OVER_LIMIT_7D: Final = Metric(
    "analysis.over_limit_jobs.7d", "gauge", "{job}", "Jobs over the limit in 7 days with today.", source=TODAY
)
OVER_LIMIT_30D: Final = Metric(
    "analysis.over_limit_jobs.30d",
    "gauge",
    "{job}",
    "Jobs over the limit in 30 days with today.",
    source=TODAY,
)
RATE_LIMITED_TODAY: Final = Metric(
    "analysis.rate_limited_jobs.today",
    "gauge",
    "{job}",
    "Jobs that began today and met a rate limit.",
    source=TODAY,
)
QUOTA_REFUSED_TODAY: Final = Metric(
    "analysis.quota_refused_jobs.today",
    "gauge",
    "{job}",
    "Jobs that began today and were refused because the quota or the credit is used up.",
    source=TODAY,
)
SPEND_LIMITED_TODAY: Final = Metric(
    "analysis.spend_limited_jobs.today",
    "gauge",
    "{job}",
    "Jobs that began today and were refused because a spend limit is reached.",
    source=TODAY,
)
INTERRUPTED_TODAY: Final = Metric(
    "analysis.interrupted_jobs.today",
    "gauge",
    "{job}",
    "Jobs that began today and were interrupted.",
    source=TODAY,
)
SILENT_RUNS: Final = Metric(
    "analysis.silent_runs",
    "gauge",
    "{run}",
    "Runs under way of which the database has not heard for TELEMETRY_STALE_SECONDS.",
    source=TODAY,
)
OLDEST_RUN_AGE: Final = Metric(
    "analysis.oldest_run.age", "gauge", "s", "Age of the oldest run under way; 0 without any.", source=TODAY
)
LAST_SUCCESS_AGE: Final = Metric(
    "analysis.last_success.age",
    "gauge",
    "s",
    "Time since a job last succeeded, at least in part, of those that began within 7 days.",
    source=TODAY,
)
SPEND_TODAY: Final = Metric(
    "analysis.spend.today.usd",
    "gauge",
    "{USD}",
    "Known API cost of all runs that began today, also of those under way.",
    source=TODAY,
)
SPEND_TODAY_INCOMPLETE: Final = Metric(
    "analysis.spend.today.incomplete_runs",
    "gauge",
    "{run}",
    "Runs that began today whose cost is incomplete: unless 0, the sum is a lower bound.",
    source=TODAY,
)
SPEND_MONTH: Final = Metric(
    "analysis.spend.month.usd",
    "gauge",
    "{USD}",
    "Known API cost of all runs that began this month, also of those under way.",
    source=TODAY,
)
SPEND_MONTH_INCOMPLETE: Final = Metric(
    "analysis.spend.month.incomplete_runs",
    "gauge",
    "{run}",
    "Runs that began this month whose cost is incomplete: unless 0, the sum is a lower bound.",
    source=TODAY,
)
SPEND_MONTH_FORECAST: Final = Metric(
    "analysis.spend.month_forecast.usd",
    "gauge",
    "{USD}",
    "What this month will cost at the pace so far, at the earliest counted as one day.",
    source=TODAY,
)
LARGEST_JOB: Final = Metric(
    "analysis.spend.largest_job.usd",
    "gauge",
    "{USD}",
    "Known API cost of the most expensive job that began today or is under way.",
    source=TODAY,
)
YESTERDAY_JOBS: Final = Metric(
    "analysis.yesterday.jobs", "gauge", "{job}", "Jobs that began yesterday.", source=DAYS
)
YESTERDAY_FAILED_JOBS: Final = Metric(
    "analysis.yesterday.failed_jobs",
    "gauge",
    "{job}",
    "Jobs that began yesterday and failed or were interrupted.",
    source=DAYS,
)
YESTERDAY_FAILED: Final = Metric(
    "analysis.yesterday.failed.ratio",
    "gauge",
    "1",
    "Share of the jobs that began yesterday and failed or were interrupted, 0 to 1.",
    source=DAYS,
)
YESTERDAY_COST: Final = Metric(
    "analysis.yesterday.cost.usd",
    "gauge",
    "{USD}",
    "Known API cost of the jobs that began yesterday.",
    source=DAYS,
)
YESTERDAY_INCOMPLETE: Final = Metric(
    "analysis.yesterday.incomplete_jobs",
    "gauge",
    "{job}",
    "Jobs that began yesterday whose cost is incomplete: unless 0, the sum is a lower bound.",
    source=DAYS,
)
YESTERDAY_P95: Final = Metric(
    "analysis.yesterday.duration.p95",
    "gauge",
    "s",
    "95th percentile of the duration of the jobs that began yesterday.",
    source=DAYS,
)
YESTERDAY_CANDIDATE_SECONDS: Final = Metric(
    "analysis.yesterday.candidate.duration",
    "gauge",
    "s",
    "Time of the jobs that began yesterday, but for the slowest 5 %, for each of their candidates.",
    source=DAYS,
)
YESTERDAY_CANDIDATE_COST: Final = Metric(
    "analysis.yesterday.candidate.cost.usd",
    "gauge",
    "{USD}",
    "Known API cost of the jobs that began yesterday, for each of their candidates.",
    source=DAYS,
)
USUAL_JOBS: Final = Metric(
    "analysis.usual_day.jobs",
    "gauge",
    "{job}",
    "Median of `analysis.yesterday.jobs` over the same weekdays of the 28 days before.",
    source=DAYS,
)
USUAL_FAILED: Final = Metric(
    "analysis.usual_day.failed.ratio",
    "gauge",
    "1",
    "Median of `analysis.yesterday.failed.ratio` over the same weekdays of the 28 days before.",
    source=DAYS,
)
USUAL_COST: Final = Metric(
    "analysis.usual_day.cost.usd",
    "gauge",
    "{USD}",
    "Median of `analysis.yesterday.cost.usd` over the same weekdays of the 28 days before.",
    source=DAYS,
)
USUAL_P95: Final = Metric(
    "analysis.usual_day.duration.p95",
    "gauge",
    "s",
    "Median of `analysis.yesterday.duration.p95` over the same weekdays of the 28 days before.",
    source=DAYS,
)
USUAL_CANDIDATE_SECONDS: Final = Metric(
    "analysis.usual_day.candidate.duration",
    "gauge",
    "s",
    "Median of `analysis.yesterday.candidate.duration` over the same weekdays of the 28 days before.",
    source=DAYS,
)
USUAL_CANDIDATE_COST: Final = Metric(
    "analysis.usual_day.candidate.cost.usd",
    "gauge",
    "{USD}",
    "Median of `analysis.yesterday.candidate.cost.usd` over the same weekdays of the 28 days before.",
    source=DAYS,
)
HEALTH_LOG_AGE: Final = Metric(
    "telemetry.health_log.age",
    "gauge",
    "s",
    "Time since the end of the last day in `system_health_log`; 0 on that day.",
    source=DAYS,
)
JOBS_WAITING: Final = Metric(
    "analysis.jobs_waiting", "gauge", "{job}", "Jobs that wait for a worker, as the host counts.", source=HOST
)
WORKER_HEARTBEAT: Final = Metric(
    "analysis.worker_heartbeat.age",
    "gauge",
    "s",
    "Time since a worker last showed that it is alive, as the host knows.",
    source=HOST,
)
GAUGES_EXPORTER: Final = Metric(
    "telemetry.gauges.exporter",
    "gauge",
    "{process}",
    "1 in the process that exports the gauges from SQL for all processes, 0 in every other.",
)
GAUGES_AGE: Final = Metric(
    "telemetry.gauges.age",
    "gauge",
    "s",
    "Time since the gauges from SQL were last queried without an error.",
    ("query",),
    source=TODAY,
)

GAUGES: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them, in the order of their declaration."""
