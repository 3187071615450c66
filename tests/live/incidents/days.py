"""Incidents of days: unusual ones, a log that was not continued, and rows that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tests.live.history import DOLLAR
from tests.live.incident import incident
from tests.live.system import System


@incident(
    "AnalysisCostAnomaly",
    "AnalysisVolumeAnomaly",
    "AnalysisLatencyAnomaly",
    "AnalysisFailureAnomaly",
    how="yesterday had three times the jobs of the same weekday before, dear and slow ones, and six failed",
    cure="they are taken away",
)
def unusual_day(system: System) -> Iterator[None]:
    usual = [
        run_id
        for week in range(1, 5)
        for run_id in system.history.add(5, days_ago=7 * week + 1, cost_pico=DOLLAR // 100)
    ]
    slow = {"days_ago": 1, "cost_pico": DOLLAR // 20, "duration_us": 90_000_000}
    unusual = system.history.add(9, **slow) + system.history.add(6, status="failed", **slow)
    yield
    system.history.remove((*usual, *unusual))


@incident(
    "AnalysisHealthLogMissing",
    how="the last day in the log of the daily check is three days ago",
    cure="`flask telemetry health-check` is run",
)
def health_log(system: System) -> Iterator[None]:
    system.history.log_day((datetime.now(UTC) - timedelta(days=3)).date())
    yield
    system.flask("telemetry", "health-check")


@incident(
    "AnalysisIntegrityViolated",
    how="a row of SQL is edited by hand, so that it contradicts itself",
    cure="it is taken away",
)
def edited(system: System) -> Iterator[None]:
    ids = system.history.add(1, n_scored=3)
    yield
    system.history.remove(ids)
