"""Findings: none at the threshold, one beyond it, and none where too little is known."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from exporters.findings.finding import Finding
from exporters.findings.insights import insights
from exporters.sql.schema.tables import runs
from telemetry.cli.group import cli
from telemetry.settings import Settings
from tests.exporters.makers import SOME_HOSTS, Host

HOSTS = SOME_HOSTS

NOW = datetime(2026, 11, 25, 15, tzinfo=UTC)
TODAY = datetime(2026, 11, 25, 12)
YESTERDAY = TODAY - timedelta(days=1)


class Past:
    """Runs of the last weeks, to be stored in the database."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._rows: list[dict[str, Any]] = []

    def add(self, count: int, at: datetime, **known: Any) -> Past:
        for number in range(count):
            row = {
                "run_id": f"{len(self._rows):032x}",
                "kind": "analysis",
                "source": "spans",
                "synthetic": False,
                "version": 1,
                "status": "completed",
                "started_at": at + timedelta(seconds=number),
                "duration_us": 10_000_000,
                "queue_wait_us": None,
                "candidates": 5,
                "cost_pico": 10**12,
                "cost_complete": True,
                "rate_limit_hits": 0,
                "quota_hits": 0,
                "spend_limit_hits": 0,
                "exceeded_resume_limit": False,
                "user_chose_override": False,
            }
            self._rows.append(row | known)
        return self

    def weeks(self, count: int, **known: Any) -> Past:
        """Add the same number of jobs on each of the four days that yesterday is compared with."""
        for week in range(1, 5):
            self.add(count, YESTERDAY - timedelta(days=7 * week), **known)
        return self

    def findings(self, now: datetime = NOW, **settings: Any) -> dict[str, Finding]:
        with self.host.engine.begin() as connection:
            connection.execute(sa.delete(runs))
            if self._rows:
                connection.execute(sa.insert(runs), self._rows)
        findings = insights(Settings(**{"database_url": self.host.url} | settings), now)
        assert len({finding.name for finding in findings}) == len(findings)
        return {finding.name: finding for finding in findings}


@pytest.fixture
def past(host: Host) -> Past:
    return Past(host)


def test_an_empty_database_has_no_findings(past: Past) -> None:
    """There is nothing to divide by, and that is no error."""
    assert past.findings() == {}


OVER = {"exceeded_resume_limit": True}


@pytest.mark.parametrize(("overridden", "stands_out"), [(299, False), (300, False), (310, True)])
def test_an_override_rate_above_its_trend_is_a_finding(past: Past, overridden: int, stands_out: bool) -> None:
    """30 % in 7 days is exactly 1.5 times the 20 % of 30 days: 31 % are a finding."""
    old = TODAY - timedelta(days=20)
    past.add(overridden, TODAY - timedelta(days=2), **OVER, user_chose_override=True)
    past.add(1000 - overridden, TODAY - timedelta(days=3), **OVER)
    past.add(400 - overridden, old, **OVER, user_chose_override=True)
    past.add(600 + overridden, old, **OVER)

    findings = past.findings()
    assert ("override_rate" in findings) is stands_out
    if stands_out:
        assert findings["override_rate"].figures == {
            "rate_7_days": 0.31,
            "rate_30_days": 0.2,
            "jobs_7_days": 1000,
        }
        assert "31% of the 1000 jobs over the limit" in findings["override_rate"].message


@pytest.mark.parametrize(("jobs", "stands_out"), [(4, False), (5, True)])
def test_a_few_overrides_are_no_finding(past: Past, jobs: int, stands_out: bool) -> None:
    """Four jobs over the limit are no trend."""
    past.add(jobs, TODAY, **OVER, user_chose_override=True)
    past.add(20, TODAY - timedelta(days=20), **OVER)
    assert ("override_rate" in past.findings()) is stands_out


@pytest.mark.parametrize(("overridden", "stands_out"), [(6, False), (10, True)])
def test_an_override_rate_within_chance_is_no_finding(past: Past, overridden: int, stands_out: bool) -> None:
    """Of a dozen jobs, twice the usual share comes by chance; nearly all of them do not."""
    past.add(overridden, TODAY, **OVER, user_chose_override=True).add(12 - overridden, TODAY, **OVER)
    past.add(20, TODAY - timedelta(days=20), **OVER, user_chose_override=True)
    past.add(80, TODAY - timedelta(days=20), **OVER)
    assert ("override_rate" in past.findings()) is stands_out


@pytest.mark.parametrize(("jobs", "stands_out"), [(5, False), (6, True)])
def test_many_rate_limited_jobs_today_are_severe(past: Past, jobs: int, stands_out: bool) -> None:
    """It takes more than five jobs; those of yesterday do not count."""
    past.add(jobs, TODAY, rate_limit_hits=3).add(50, YESTERDAY, rate_limit_hits=3)
    findings = past.findings()
    assert ("rate_limited_jobs" in findings) is stands_out
    if stands_out:
        assert findings["rate_limited_jobs"].figures == {"jobs_today": 6, "hits_today": 18}
        assert findings["rate_limited_jobs"].is_severe
    assert "rate_limited_jobs" not in past.findings(NOW + timedelta(days=1))


@pytest.mark.parametrize(
    ("column", "name"), [("quota_hits", "quota_used_up"), ("spend_limit_hits", "spend_limit_reached")]
)
def test_one_job_refused_for_quota_or_spend_limit_is_severe(past: Past, column: str, name: str) -> None:
    """Waiting does not help there, so it is no rate limiting; jobs of yesterday do not count."""
    past.add(2, TODAY, **{column: 3}).add(50, YESTERDAY, **{column: 3}).add(1, TODAY)
    findings = past.findings(rate_limited_jobs=0)
    assert set(findings) == {name}
    assert findings[name].figures == {"jobs_today": 2, "hits_today": 6}
    assert findings[name].is_severe
    assert past.findings(NOW + timedelta(days=1)) == {}


def test_today_is_that_of_the_configured_time_zone(past: Past) -> None:
    """At 23:30 UTC it is tomorrow in Berlin."""
    past.add(6, datetime(2026, 11, 25, 23, 10), rate_limit_hits=1)
    late = datetime(2026, 11, 25, 23, 30, tzinfo=UTC)
    assert "rate_limited_jobs" in past.findings(late, timezone="Europe/Berlin")
    assert "rate_limited_jobs" not in past.findings(late - timedelta(hours=1), timezone="Europe/Berlin")


@pytest.mark.parametrize(("seconds", "stands_out"), [(600, False), (601, True)])
def test_a_long_wait_in_the_queue_is_a_finding(past: Past, seconds: int, stands_out: bool) -> None:
    """It takes one job of today that waited for longer than the setting."""
    past.add(1, TODAY, queue_wait_us=seconds * 10**6).add(1, YESTERDAY, queue_wait_us=9000 * 10**6)
    assert ("queue_wait" in past.findings()) is stands_out


@pytest.mark.parametrize(
    ("yesterday", "names"),
    [
        ({"count": 40}, set()),
        ({"count": 40, "cost_pico": 2 * 10**12}, set()),
        ({"count": 40, "cost_pico": 2 * 10**12 + 10**9}, {"cost"}),
        ({"count": 40, "cost_pico": 3 * 10**12, "candidates": 15}, set()),
        ({"count": 81, "cost_pico": 3 * 10**12, "candidates": 15}, {"cost", "volume"}),
        ({"count": 80, "cost_pico": 0}, set()),
        ({"count": 81, "cost_pico": 0}, {"volume"}),
        ({"count": 20}, set()),
        ({"count": 19}, {"volume"}),
        ({"count": 0}, {"volume"}),
        ({"count": 40, "duration_us": 20_000_000}, set()),
        ({"count": 40, "duration_us": 20_100_000}, {"latency"}),
        ({"count": 40, "duration_us": 30_000_000, "candidates": 15}, set()),
        ({"count": 40, "status": "failed"}, {"errors"}),
    ],
)
def test_yesterday_is_compared_with_its_weekday(
    past: Past, yesterday: dict[str, Any], names: set[str]
) -> None:
    """More than twice the median is a finding, unless jobs were only larger, and so are half the jobs."""
    past.weeks(40).add(at=YESTERDAY, **yesterday)
    assert set(past.findings()) == names


def test_a_job_that_hangs_is_no_slow_day(past: Past) -> None:
    """The slowest 5 % of the jobs do not count in what each candidate took, however long they were."""
    past.weeks(40).add(36, YESTERDAY, candidates=15).add(2, YESTERDAY, duration_us=10**10)
    assert past.add(2, YESTERDAY, duration_us=30_000_000, candidates=15).findings() == {}


@pytest.mark.parametrize(("failed", "stands_out"), [(40, False), (80, False), (81, True)])
def test_failures_are_compared_with_the_usual_rate(past: Past, failed: int, stands_out: bool) -> None:
    """Here 20 % of the jobs usually fail."""
    past.weeks(160).weeks(40, status="failed")
    past.add(failed, YESTERDAY, status="interrupted").add(200 - failed, YESTERDAY)
    assert ("errors" in past.findings()) is stands_out


@pytest.mark.parametrize(("failed", "stands_out"), [(3, False), (4, True)])
def test_single_failures_are_no_finding(past: Past, failed: int, stands_out: bool) -> None:
    """Where usually none fails, three failed jobs come by chance."""
    past.weeks(40).add(failed, YESTERDAY, status="failed").add(40 - failed, YESTERDAY)
    assert ("errors" in past.findings()) is stands_out


def test_a_weekday_with_few_jobs_is_not_compared(past: Past) -> None:
    """Two weeks are too few, and so are weekdays with a handful of jobs."""
    for week in (1, 2):
        past.add(40, YESTERDAY - timedelta(days=7 * week))
    assert past.add(100, YESTERDAY, status="failed").findings() == {}
    assert Past(past.host).weeks(19).add(100, YESTERDAY, status="failed").findings() == {}


def test_one_odd_week_does_not_change_what_is_usual(past: Past) -> None:
    """The median ignores one holiday."""
    for week, count in enumerate((40, 40, 0, 40), start=1):
        past.add(count, YESTERDAY - timedelta(days=7 * week))
    assert past.add(40, YESTERDAY).findings() == {}


def test_thresholds_are_settings(past: Past) -> None:
    """Lower thresholds make findings of the same figures."""
    past.add(2, TODAY, rate_limit_hits=1, queue_wait_us=5 * 10**6)
    assert past.findings() == {}
    assert set(past.findings(rate_limited_jobs=1, queue_wait_seconds=4)) == {
        "rate_limited_jobs",
        "queue_wait",
    }


def test_the_command_prints_severe_findings_first(sqlite_host: Host) -> None:
    """It prints text or JSON; the exit status says whether something is severe."""
    now = datetime.now(UTC).replace(tzinfo=None)
    environment = {
        "TELEMETRY_DATABASE_URL": sqlite_host.url,
        "TELEMETRY_TIMEZONE": f"Etc/GMT{now.hour - 12:+d}",  # where it is noon, far from the next day
    }
    calm = CliRunner().invoke(cli, ["insights"], env=environment)
    assert (calm.exit_code, calm.output) == (0, "Nothing stands out.\n")

    Past(sqlite_host).add(6, now, rate_limit_hits=2, **OVER, user_chose_override=True).add(
        20, now - timedelta(days=20), **OVER
    ).findings()
    words = CliRunner().invoke(cli, ["insights"], env=environment)
    lines = CliRunner().invoke(cli, ["insights", "--json"], env=environment)

    assert (words.exit_code, lines.exit_code) == (1, 1)
    assert words.output.startswith(
        "Many jobs meet rate limits\n  6 jobs met rate limits today, 12 times in all.\n"
    )
    assert [json.loads(line)["severity"] for line in lines.output.splitlines()] == ["alert", "warning"]


def dollars(amount: float) -> dict[str, Any]:
    return {"cost_pico": round(amount * 10**12)}


@pytest.mark.parametrize(
    ("spent", "severity"), [(40, None), (40.01, "warning"), (50, "warning"), (50.01, "alert")]
)
def test_the_budget_of_a_day(past: Past, spent: float, severity: str | None) -> None:
    """At 80 % it is a warning, beyond the whole of it severe; runs under way count, yesterday's do not."""
    past.add(1, TODAY, **dollars(spent - 1), status="running").add(1, TODAY).add(1, YESTERDAY, **dollars(90))
    found = past.findings(budget_job_usd=0, budget_month_usd=0)

    assert (found["daily_budget"].severity if severity else found.get("daily_budget")) == severity
    assert "daily_budget" not in past.findings(budget_day_usd=0)


@pytest.mark.parametrize(("spent", "is_found"), [(5, False), (5.01, True)])
def test_the_budget_of_a_job(past: Past, spent: float, is_found: bool) -> None:
    """It is about one job, also while it is under way."""
    past.add(3, TODAY, **dollars(5)).add(1, TODAY, **dollars(spent), status="running")
    found = past.findings()

    assert ("job_budget" in found) is is_found
    if is_found:
        assert found["job_budget"].message == "A job costs $5.01, of a budget of $5."


@pytest.mark.parametrize(
    ("spent", "severity"), [(820, None), (821, "warning"), (1000, "warning"), (1000.01, "alert")]
)
def test_the_budget_of_a_month(past: Past, spent: float, severity: str | None) -> None:
    """On the 25th at 15:00, what makes more than the budget by the end of the month is a warning."""
    past.add(1, TODAY - timedelta(days=20), **dollars(spent)).add(
        1, TODAY - timedelta(days=30), **dollars(900)
    )
    found = past.findings(budget_job_usd=0, budget_warning_share=0.99)

    assert (found["monthly_budget"].severity if severity else found.get("monthly_budget")) == severity
