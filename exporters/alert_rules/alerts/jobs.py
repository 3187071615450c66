"""Rules about jobs: overridden limits, rate limits, jobs that hang, wait or are interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from exporters.findings.checks.chance import DEVIATIONS
from telemetry.conventions import gauges
from telemetry.settings import Settings

from .. import dashboards
from ..alert import Alert, Group
from ..expression import Application, number

COUNTED: Final = "it is a count of the day, which only midnight resets."


def jobs(settings: Settings) -> Group:
    """Return the rules about jobs."""
    application = Application.of(settings)
    return Group(
        "jobs",
        60,
        (
            _overrides(settings, application),
            *_counted_today(settings, application),
            *_under_way(settings, application),
            *_waiting(settings, application),
        ),
    )


def _overrides(settings: Settings, application: Application) -> Alert:
    recent, usual = application.most(gauges.OVERRIDES_7D), application.most(gauges.OVERRIDES_30D)
    volume = application.most(gauges.OVER_LIMIT_7D)
    factor, least = number(settings.override_factor), settings.override_min_jobs
    return Alert(
        name="AnalysisOverrideRateRising",
        severity="warning",
        expression=(
            f"{recent} / ({usual} > 0) > {factor}\n"
            f"and on (job) {volume} >= {least}\n"
            # Of a dozen jobs, chance alone makes the share of a week half as large again.
            f"and on (job) {recent} - {usual}"
            f" > {DEVIATIONS} * sqrt({usual} * (1 - {usual}) / ({volume} > 0))"
        ),
        summary="Users override the limit far more often than usual.",
        description='The override rate of 7 days is {{ $value | printf "%.2f" }} times that of 30 days.',
        dashboard=dashboards.USERS,
        service=application.job,
        settings=("override_factor", "override_min_jobs"),
        for_seconds=3600,
    )


def _counted_today(settings: Settings, application: Application) -> Iterator[Alert]:
    yield Alert(
        name="AnalysisJobsRateLimited",
        severity="warning",
        expression=f"{application.most(gauges.RATE_LIMITED_TODAY)} > {settings.rate_limited_jobs}",
        summary="Many jobs met a rate limit today.",
        description="{{ $value }} jobs that began today met a rate limit.",
        dashboard=dashboards.RATE_LIMITS,
        service=application.job,
        settings=("rate_limited_jobs",),
        at_once=COUNTED,
    )
    yield Alert(
        name="AnalysisJobsInterrupted",
        severity="warning",
        expression=f"{application.most(gauges.INTERRUPTED_TODAY)} > {settings.interrupted_jobs}",
        summary="Jobs were interrupted today.",
        description="{{ $value }} jobs that began today were interrupted, by a crash or a deployment.",
        dashboard=dashboards.ERRORS,
        service=application.job,
        settings=("interrupted_jobs",),
        at_once=COUNTED,
    )


def _under_way(settings: Settings, application: Application) -> Iterator[Alert]:
    yield Alert(
        name="AnalysisRunsSilent",
        severity="warning",
        expression=f"{application.most(gauges.SILENT_RUNS)} > 0",
        summary="Runs under way have fallen silent.",
        description="The database has not heard of {{ $value }} runs under way for too long.",
        dashboard=dashboards.PERFORMANCE,
        service=application.job,
        settings=("stale_seconds",),
        for_seconds=300,
    )
    longest = number(settings.longest_run_seconds)
    yield Alert(
        name="AnalysisRunTooLong",
        severity="warning",
        expression=f"{application.most(gauges.OLDEST_RUN_AGE)} > {longest}",
        summary="A run is under way for too long.",
        description="The oldest run under way began {{ $value | humanizeDuration }} ago.",
        dashboard=dashboards.PERFORMANCE,
        service=application.job,
        settings=("longest_run_seconds",),
        for_seconds=120,
    )


def _waiting(settings: Settings, application: Application) -> Iterator[Alert]:
    limit = number(settings.no_success_seconds)
    yield Alert(
        name="AnalysisNoSuccess",
        severity="critical",
        # Not `age > …`: where nothing has succeeded for a week, there is no age.
        expression=(
            f"{application.most(gauges.JOBS_WAITING)} > 0\n"
            f"unless on (job) {application.most(gauges.LAST_SUCCESS_AGE)} < {limit}"
        ),
        summary="Jobs wait, and none has succeeded for long.",
        description="{{ $value }} jobs wait, and none has succeeded for long.",
        dashboard=dashboards.OVERVIEW,
        service=application.job,
        settings=("no_success_seconds",),
        # After a quiet night the last success is old when the first job comes: it gets half of the time.
        for_seconds=max(int(settings.no_success_seconds / 2), 1),
    )
    yield Alert(
        name="AnalysisWorkerSilent",
        severity="warning",
        expression=f"{application.most(gauges.WORKER_HEARTBEAT)} > {number(settings.worker_silent_seconds)}",
        summary="No worker shows that it is alive.",
        description="A worker last showed {{ $value | humanizeDuration }} ago that it is alive.",
        dashboard=dashboards.PERFORMANCE,
        service=application.job,
        settings=("worker_silent_seconds",),
        for_seconds=120,
    )
