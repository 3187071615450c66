"""Rules about the share of jobs that fail, by the speed at which it uses up what may fail in 30 days.

As in the SRE workbook: a short and a long window must both be above the limit, so that an alert is neither
raised by a moment nor stays long after the cure. The longer one must have enough jobs.
"""

from __future__ import annotations

from typing import Final

from telemetry import conventions as c
from telemetry.settings import Settings

from . import dashboards
from .alert import Alert, Group, Recording
from .expression import Application, product

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FAST: Final = (("5m", "1h", 14.4), ("30m", "6h", 6))
"""Short window, long window, and how many times as fast as allowed: 2 % in an hour, 5 % in six hours."""
SLOW: Final = (("2h", "1d", 3), ("6h", "3d", 1))
"""The same for 10 % in one and in three days."""


def failures(settings: Settings) -> Group:
    """Return the rules about the share of jobs that fail."""
    application = Application.of(settings)
    recordings = [recording for window in WINDOWS for recording in _recordings(application, window)]
    description = "{{ $value | humanizePercentage }} of the jobs failed or were interrupted."
    used = ("failed_jobs_objective", "failed_jobs_min")
    alerts = (
        Alert(
            name="AnalysisFailingFast",
            severity="critical",
            expression=_burning(settings, FAST),
            summary="Most jobs fail.",
            description=description,
            settings=used,
            at_once="both windows must agree.",
            keep_seconds=300,
            dashboard=dashboards.ERRORS,
            service=application.job,
        ),
        Alert(
            name="AnalysisFailingSlowly",
            severity="warning",
            expression=_burning(settings, SLOW),
            summary="More jobs fail than in the long run may.",
            description=description,
            settings=used,
            at_once="both windows must agree.",
            keep_seconds=3600,
            dashboard=dashboards.ERRORS,
            service=application.job,
        ),
    )
    return Group("failures", 60, alerts, tuple(recordings))


def jobs_name(window: str) -> str:
    """Return the name of the number of jobs that ended in a window."""
    return f"job:analysis_jobs:increase{window}"


def share_name(window: str) -> str:
    """Return the name of the share of them that failed."""
    return f"job:analysis_failed_jobs_per_jobs:ratio_increase{window}"


def _recordings(application: Application, window: str) -> tuple[Recording, ...]:
    jobs, bad = 'kind="analysis"', f'status=~"{c.FAILED}|{c.INTERRUPTED}"'
    ended = application.risen(c.RUNS, window, jobs, f'status!="{c.CANCELLED}"')
    failed = application.risen(c.RUNS, window, jobs, bad)
    return (
        Recording(jobs_name(window), ended),
        Recording(share_name(window), f"{failed}\n/ ({jobs_name(window)} > 0)"),
    )


def _burning(settings: Settings, pairs: tuple[tuple[str, str, float], ...]) -> str:
    parts = []
    for short, long, speed in pairs:
        limit = product(settings.failed_jobs_objective, speed)
        parts.append(
            f"  {share_name(short)} > {limit}\n"
            f"  and on (job) {share_name(long)} > {limit}\n"
            f"  and on (job) {jobs_name(long)} >= {settings.failed_jobs_min}\n"
        )
    return "(\n" + ")\nor\n(\n".join(parts) + ")"
