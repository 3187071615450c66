"""What is severe about a day, whatever other days were like."""

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


def found(host: Host, *rows: list[dict[str, Any]], **settings: Any) -> dict[str, Finding]:
    given = [row | {"run_id": f"{number:032x}"} for number, row in enumerate(sum(rows, []))]
    if given:
        with host.engine.begin() as connection:
            connection.execute(sa.insert(runs), given)
    with HealthCheck(Settings(**{"database_url": host.url} | settings)) as check:
        return {finding.name: finding for finding in check.findings(DAY)}


@pytest.mark.parametrize(
    ("failed", "done", "is_severe"), [(1, 0, False), (2, 2, False), (3, 2, True), (2, 0, True)]
)
def test_most_jobs_fail(host: Host, failed: int, done: int, is_severe: bool) -> None:
    """More than completed, and more than one; those of other days and synthetic ones do not count."""
    rows = [runs_of(failed, status="interrupted"), runs_of(done, status="partial_failure")]
    rows += [runs_of(9, NOON - timedelta(days=1), status="failed"), runs_of(9, synthetic=True)]
    severe = found(host, *rows)
    assert ("failed_jobs" in severe) is is_severe
    if is_severe:
        assert severe["failed_jobs"].day == DAY
        assert severe["failed_jobs"].message == f"{failed} jobs failed and {done} completed on 2026-11-24."


@pytest.mark.parametrize(("unseen", "seen", "is_severe"), [(1, 9, False), (2, 9, True), (2, 0, False)])
def test_jobs_that_fail_without_a_row(host: Host, unseen: int, seen: int, is_severe: bool) -> None:
    """Where the application links its rows at all."""
    rows = [runs_of(unseen, status="failed", analysis_seen_at=None), runs_of(seen)]
    assert ("unseen_failures" in found(host, *rows)) is is_severe


@pytest.mark.parametrize(("weeks", "today", "is_severe"), [(3, 0, True), (2, 0, False), (4, 1, False)])
def test_nothing_recorded(host: Host, weeks: int, today: int, is_severe: bool) -> None:
    """On a weekday that usually has jobs; intake alone shows that telemetry lives."""
    rows = [runs_of(5, NOON - timedelta(days=7 * week)) for week in range(1, weeks + 1)]
    assert ("nothing_recorded" in found(host, *rows, runs_of(today, kind="intake"))) is is_severe


def test_a_day_of_a_time_zone(host: Host) -> None:
    """At 23:30 UTC it is tomorrow in Berlin."""
    rows = runs_of(3, datetime(2026, 11, 23, 23, 30), status="failed")
    assert "failed_jobs" in found(host, rows, timezone="Europe/Berlin")
    assert "failed_jobs" not in found(host)


def test_the_jobs_of_that_day_are_counted(host: Host) -> None:
    """What insights count of today, the check of a day that is over counts of that day."""
    limited = found(
        host, runs_of(6, rate_limit_hits=1), runs_of(9, NOON + timedelta(days=1), rate_limit_hits=1)
    )
    assert limited["rate_limited_jobs"].message == (
        "6 jobs met rate limits on Tuesday, 2026-11-24, 6 times in all."
    )
    assert limited["rate_limited_jobs"].day == DAY


def test_an_empty_database(host: Host) -> None:
    """Has nothing to tell."""
    assert found(host) == {}
