"""Rules that compare yesterday with the same weekdays before, and about the log of days.

They are the findings of `insights`, by the same settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from exporters.findings.checks.chance import DEVIATIONS, half
from telemetry.conventions import gauges
from telemetry.settings import Settings

from .. import dashboards
from ..alert import Alert, Group
from ..expression import Application, number, product

WAIT_SECONDS: Final = 300


def usual_days(settings: Settings) -> Group:
    """Return the rules about yesterday, and about the log of days."""
    application = Application.of(settings)
    return Group("usual-days", 60, (*_anomalies(settings, application), _health_log(settings, application)))


def _anomalies(settings: Settings, application: Application) -> Iterator[Alert]:
    factor, most = number(settings.anomaly_factor), application.most
    less = number(half(settings.anomaly_factor))
    enough = f"and on (job) {most(gauges.YESTERDAY_JOBS)} >= {settings.anomaly_min_jobs}"
    yield Alert(
        name="AnalysisCostAnomaly",
        severity="warning",
        # Larger jobs alone may cost twice as much: it is their number, or what each candidate costs.
        expression=(
            f"{most(gauges.YESTERDAY_COST)} > {factor} * {most(gauges.USUAL_COST)}\n"
            f"unless on (job) (\n"
            f"  {most(gauges.YESTERDAY_CANDIDATE_COST)} <= {less} * {most(gauges.USUAL_CANDIDATE_COST)}\n"
            f"  and on (job) {most(gauges.YESTERDAY_JOBS)} <= {factor} * {most(gauges.USUAL_JOBS)}\n"
            ")"
        ),
        summary="Yesterday cost far more than is usual for its weekday.",
        description='Yesterday\'s jobs cost ${{ $value | printf "%.2f" }}.',
        dashboard=dashboards.COST,
        service=application.job,
        settings=("anomaly_factor", "anomaly_min_jobs"),
        for_seconds=WAIT_SECONDS,
    )
    usual = most(gauges.USUAL_JOBS)
    few = product(1 / settings.anomaly_factor, 1)
    yield Alert(
        name="AnalysisVolumeAnomaly",
        severity="warning",
        expression=(
            f"{most(gauges.YESTERDAY_JOBS)} > {factor} * {usual}\n"
            f"or {most(gauges.YESTERDAY_JOBS)} < {few} * {usual}"
        ),
        summary="Yesterday had far more or far fewer jobs than is usual for its weekday.",
        description="Yesterday had {{ $value }} jobs.",
        dashboard=dashboards.OVERVIEW,
        service=application.job,
        settings=("anomaly_factor", "anomaly_min_jobs"),
        for_seconds=WAIT_SECONDS,
    )
    yield Alert(
        name="AnalysisLatencyAnomaly",
        severity="warning",
        expression=(
            f"{most(gauges.YESTERDAY_P95)} > {factor} * {most(gauges.USUAL_P95)}\n"
            f"unless on (job)\n"
            f"  {most(gauges.YESTERDAY_CANDIDATE_SECONDS)}"
            f" <= {less} * {most(gauges.USUAL_CANDIDATE_SECONDS)}\n"
            f"{enough}"
        ),
        summary="Yesterday's jobs took far longer than is usual for its weekday.",
        description="5 % of yesterday's jobs took longer than {{ $value | humanizeDuration }}.",
        dashboard=dashboards.PERFORMANCE,
        service=application.job,
        settings=("anomaly_factor", "anomaly_min_jobs"),
        for_seconds=WAIT_SECONDS,
    )
    expected = f"{most(gauges.USUAL_FAILED)} * {most(gauges.YESTERDAY_JOBS)}"
    yield Alert(
        name="AnalysisFailureAnomaly",
        severity="warning",
        expression=(
            f"{most(gauges.YESTERDAY_FAILED)} > {factor} * {most(gauges.USUAL_FAILED)}\n"
            f"{enough}\n"
            f"and on (job) {most(gauges.YESTERDAY_FAILED_JOBS)} - {expected}"
            f" > {DEVIATIONS} * sqrt({expected} + 1)"
        ),
        summary="Yesterday far more jobs failed than is usual for its weekday.",
        description="{{ $value | humanizePercentage }} of yesterday's jobs failed or were interrupted.",
        dashboard=dashboards.ERRORS,
        service=application.job,
        settings=("anomaly_factor", "anomaly_min_jobs"),
        for_seconds=WAIT_SECONDS,
    )


def _health_log(settings: Settings, application: Application) -> Alert:
    return Alert(
        name="AnalysisHealthLogMissing",
        severity="warning",
        expression=f"{application.most(gauges.HEALTH_LOG_AGE)} > {number(settings.health_log_seconds)}",
        summary="The daily check has not logged the last day.",
        description="The last day in the log ended {{ $value | humanizeDuration }} ago.",
        dashboard=dashboards.TELEMETRY,
        service=application.job,
        settings=("health_log_seconds",),
        for_seconds=600,
    )
