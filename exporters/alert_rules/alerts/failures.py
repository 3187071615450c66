"""Rules about the share of jobs that fail, by the speed at which it uses up what may fail in 30 days.

As in the SRE workbook: a short and a long window must both be above the limit, so that an alert is neither
raised by a moment nor stays long after the cure. The longer one must have enough jobs.
"""

from __future__ import annotations

import math
from typing import Final

from telemetry import conventions as c
from telemetry.settings import Settings

from .. import dashboards
from ..alert import Alert, Group, Recording
from ..expression import Application, product

FEW: Final = 2
"""So many failed jobs are no share: there must be enough jobs for that to be within the limit."""
SINGLE: Final = 1.5
"""A single failed job is less, also where `increase` extrapolates it: it is no trend, whatever was before."""
WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FAST: Final = (("5m", "1h", 14.4), ("30m", "6h", 6))
"""Short window, long window, and how many times as fast as allowed: 2 % in an hour, 5 % in six hours."""
SLOW: Final = (("2h", "1d", 3), ("6h", "3d", 1))
"""The same for 10 % in one and in three days."""
NEARLY_ALL: Final = 0.9
"""A limit is at most this share of the way from what may fail to all jobs, or the alert would be mute."""


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
            expression=_burning(settings, FAST, 0),
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
            expression=_burning(settings, SLOW, SINGLE),
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


def _burning(settings: Settings, pairs: tuple[tuple[str, str, float], ...], few: float) -> str:
    """Return when failures are too fast in both windows; the shorter must have more than ``few``."""
    parts = []
    for short, long, speed in pairs:
        limit = _limit(settings.failed_jobs_objective, speed)
        least = max(settings.failed_jobs_min, math.ceil(FEW / float(limit)))
        parts.append(
            f"  {share_name(short)} > {limit}\n"
            f"  and on (job) {share_name(long)} > {limit}\n"
            f"  and on (job) {jobs_name(long)} >= {least}\n"
            + (f"  and on (job) {share_name(short)} * on (job) {jobs_name(short)} > {few}\n" if few else "")
        )
    return "(\n" + ")\nor\n(\n".join(parts) + ")"


def limit_in(window: str, settings: Settings) -> float:
    """Return the share of failed jobs in a long window above which an alert is raised."""
    (speed,) = (speed for _, long, speed in (*FAST, *SLOW) if long == window)
    return float(_limit(settings.failed_jobs_objective, speed))


def _limit(objective: float, speed: float) -> str:
    """Return the share of failed jobs at which the objective is used up so many times as fast."""
    nearly_all = objective + NEARLY_ALL * (1 - objective)
    return product(objective, speed) if objective * speed < nearly_all else product(nearly_all, 1)
