"""Findings about a day that are severe by themselves, without a comparison with its weekday."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from exporters.findings.finding import Finding
from exporters.sql.schema.tables import runs
from exporters.upkeep.health_log import HealthCheck
from telemetry.settings import Settings
from tests.exporters.makers import SOME_HOSTS, Host

HOSTS = SOME_HOSTS

DAY = date(2026, 11, 24)
NOON = datetime(2026, 11, 24, 12)


def runs_of(count: int, at: datetime = NOON, **known: Any) -> list[dict[str, Any]]:
    row = {
        "kind": "analysis",
        "source": "spans",
        "synthetic": False,
        "version": 1,
        "status": "completed",
        "started_at": at,
        "candidates": 5,
        "cost_complete": True,
        "rate_limit_hits": 0,
        "queue_wait_us": None,
        "analysis_seen_at": at,
    }
    return [row | known for _ in range(count)]


def findings_of(host: Host, *rows: list[dict[str, Any]], **settings: Any) -> dict[str, Finding]:
    given = [row | {"run_id": f"{number:032x}"} for number, row in enumerate(sum(rows, []))]
    if given:
        with host.engine.begin() as connection:
            connection.execute(sa.insert(runs), given)
    with HealthCheck(Settings(**{"database_url": host.url} | settings)) as check:
        return {finding.name: finding for finding in check.findings(DAY)}


@pytest.mark.parametrize(
    ("failed", "done", "is_severe"), [(1, 0, False), (2, 2, False), (3, 2, True), (2, 0, True)]
)
def test_more_failed_than_completed_jobs_are_severe(
    host: Host, failed: int, done: int, is_severe: bool
) -> None:
    """More than one must have failed; jobs of other days and synthetic ones do not count."""
    rows = [runs_of(failed, status="interrupted"), runs_of(done, status="partial_failure")]
    rows += [runs_of(9, NOON - timedelta(days=1), status="failed"), runs_of(9, synthetic=True)]
    severe = findings_of(host, *rows)
    assert ("failed_jobs" in severe) is is_severe
    if is_severe:
        assert severe["failed_jobs"].day == DAY
        assert severe["failed_jobs"].message == f"{failed} jobs failed and {done} completed on 2026-11-24."


@pytest.mark.parametrize(("unseen", "seen", "is_severe"), [(1, 9, False), (2, 9, True), (2, 0, False)])
def test_many_failures_without_a_host_row_are_severe(
    host: Host, unseen: int, seen: int, is_severe: bool
) -> None:
    """Only where the application links its rows at all."""
    rows = [runs_of(unseen, status="failed", analysis_seen_at=None), runs_of(seen)]
    assert ("unseen_failures" in findings_of(host, *rows)) is is_severe


@pytest.mark.parametrize(("weeks", "today", "is_severe"), [(3, 0, True), (2, 0, False), (4, 1, False)])
def test_a_weekday_without_its_usual_jobs_is_severe(
    host: Host, weeks: int, today: int, is_severe: bool
) -> None:
    """One intake is enough to show that telemetry works."""
    rows = [runs_of(20, NOON - timedelta(days=7 * week)) for week in range(1, weeks + 1)]
    assert ("nothing_recorded" in findings_of(host, *rows, runs_of(today, kind="intake"))) is is_severe


def test_days_are_those_of_the_configured_time_zone(host: Host) -> None:
    """At 23:30 UTC it is tomorrow in Berlin."""
    rows = runs_of(3, datetime(2026, 11, 23, 23, 30), status="failed")
    assert "failed_jobs" in findings_of(host, rows, timezone="Europe/Berlin")
    assert "failed_jobs" not in findings_of(host)


def test_only_the_jobs_of_the_checked_day_are_counted(host: Host) -> None:
    """The figures that insights count for today are counted for the day that is checked."""
    limited = findings_of(
        host, runs_of(6, rate_limit_hits=1), runs_of(9, NOON + timedelta(days=1), rate_limit_hits=1)
    )
    assert limited["rate_limited_jobs"].message == (
        "6 jobs met rate limits on Tuesday, 2026-11-24, 6 times in all."
    )
    assert limited["rate_limited_jobs"].day == DAY


def test_an_empty_database_has_no_findings(host: Host) -> None:
    """Nothing recorded yet is nothing severe."""
    assert findings_of(host) == {}
