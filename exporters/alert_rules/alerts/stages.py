"""The rule about a stage that takes longer than on the day before."""

from __future__ import annotations

from typing import Final

from telemetry import conventions as c
from telemetry.settings import Settings

from .. import dashboards
from ..alert import Alert, Group, Recording
from ..expression import Application, number

RECENT: Final = "job_stage:analysis_stage_duration_seconds:mean_increase1h"
BEFORE: Final = "job_stage:analysis_stage_duration_seconds:mean_increase1d"
RECENT_A_DOCUMENT: Final = "job_stage:analysis_stage_duration_seconds_per_documents:ratio_increase1h"
BEFORE_A_DOCUMENT: Final = "job_stage:analysis_stage_duration_seconds_per_documents:ratio_increase1d"

ENOUGH: Final = 3
"""The day before needs so many times the executions of the hour, or it says little of what is usual."""


def stages(settings: Settings) -> Group:
    """Return the rule about slow stages."""
    application = Application.of(settings)
    factor = number(settings.anomaly_factor)
    executed = application.risen(c.STAGE_DURATION, "1h", by=("stage",), suffix="_count")
    series = application.series(c.STAGE_DURATION, suffix="_count")
    alert = Alert(
        name="AnalysisStageSlow",
        severity="warning",
        expression=(
            f"{RECENT} / ({BEFORE} offset 1h > 0) > {factor}\n"
            # An hour of large jobs is no slow hour: a stage that takes longer because it has more to do
            # does not take longer for each document.
            f"unless on (job, stage)\n"
            f"  {RECENT_A_DOCUMENT} / ({BEFORE_A_DOCUMENT} offset 1h > 0) <= {factor}\n"
            f"and on (job, stage) {RECENT} > {number(settings.slow_stage_seconds)}\n"
            f"and on (job, stage) {executed} >= {settings.slow_stage_min}\n"
            f"and on (job, stage) sum by (job, stage) (increase({series}[1d] offset 1h))"
            f" >= {ENOUGH * settings.slow_stage_min}"
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
    recordings = (
        _mean(application, RECENT, "1h"),
        _mean(application, BEFORE, "1d"),
        _a_document(application, RECENT_A_DOCUMENT, "1h"),
        _a_document(application, BEFORE_A_DOCUMENT, "1d"),
    )
    return Group("stages", 60, (alert,), recordings)


def _mean(application: Application, name: str, window: str) -> Recording:
    spent = application.risen(c.STAGE_DURATION, window, by=("stage",), suffix="_sum")
    executed = application.risen(c.STAGE_DURATION, window, by=("stage",), suffix="_count")
    return Recording(name, f"{spent}\n/ ({executed} > 0)")


def _a_document(application: Application, name: str, window: str) -> Recording:
    spent = application.risen(c.STAGE_DURATION, window, by=("stage",), suffix="_sum")
    # Those that fail at once would make a day of failures the measure of the next.
    documents = application.risen(c.DOCUMENTS, window, f'outcome!="{c.FAILED}"')
    return Recording(name, f"{spent}\n/ on (job) group_left () ({documents} > 0)")
