"""The rule about a stage that takes longer than on the day before."""

from __future__ import annotations

from typing import Final

from telemetry import conventions as c
from telemetry.settings import Settings

from . import dashboards
from .alert import Alert, Group, Recording
from .expression import Application, number

RECENT: Final = "job_stage:analysis_stage_duration_seconds:mean_increase1h"
BEFORE: Final = "job_stage:analysis_stage_duration_seconds:mean_increase1d"


def stages(settings: Settings) -> Group:
    """Return the rule about slow stages."""
    application = Application.of(settings)
    executed = application.risen(c.STAGE_DURATION, "1h", by=("stage",), suffix="_count")
    alert = Alert(
        name="AnalysisStageSlow",
        severity="warning",
        expression=(
            f"{RECENT} / ({BEFORE} offset 1h > 0) > {number(settings.anomaly_factor)}\n"
            f"and on (job, stage) {RECENT} > {number(settings.slow_stage_seconds)}\n"
            f"and on (job, stage) {executed} >= {settings.slow_stage_min}"
        ),
        summary="A stage takes much longer than on the day before.",
        description=(
            'The stage {{ $labels.stage }} takes {{ $value | printf "%.1f" }} times as long as before.'
        ),
        dashboard=dashboards.PERFORMANCE,
        service=application.job,
        settings=("anomaly_factor", "slow_stage_seconds", "slow_stage_min"),
        for_seconds=600,
    )
    recordings = (_mean(application, RECENT, "1h"), _mean(application, BEFORE, "1d"))
    return Group("stages", 60, (alert,), recordings)


def _mean(application: Application, name: str, window: str) -> Recording:
    spent = application.risen(c.STAGE_DURATION, window, by=("stage",), suffix="_sum")
    executed = application.risen(c.STAGE_DURATION, window, by=("stage",), suffix="_count")
    return Recording(name, f"{spent}\n/ ({executed} > 0)")
