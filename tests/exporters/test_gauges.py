"""Gauges from SQL: the figures of reports and findings, by whole days, and no point for what is not known."""

from __future__ import annotations

import json
import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from exporters.findings.insights import insights
from exporters.gauges.leased import LeasedGauges
from exporters.gauges.query import Found, Query
from exporters.process.pipeline import Pipeline
from exporters.sql.schema.tables import runs
from telemetry import conventions as c
from telemetry.cli.group import cli
from telemetry.conventions import gauges
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.exporters.makers import SOME_HOSTS, Host
from tests.waiting import until

HOSTS = SOME_HOSTS
LONG = 600.0
"""Seconds between two queries where the first is enough: however busy the machine is, its values stay."""
SHORT = 1.0
OVER = {"exceeded_resume_limit": True}
DOLLAR = 10**12


class Exporting:
    """A process that exports gauges from a database, and what a reader collects from it."""

    def __init__(self, pipeline: Pipeline, reader: InMemoryMetricReader) -> None:
        self.pipeline = pipeline
        self._reader = reader

    def points(self, metric: c.Metric) -> dict[tuple[str, ...], float]:
        data: Any = self._reader.get_metrics_data()
        return {
            tuple(point.attributes[name] for name in metric.labels): point.value
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for collected in scope.metrics
            if collected.name == metric.name
            for point in collected.data.data_points
        }

    def value(self, metric: c.Metric) -> float | None:
        return self.points(metric).get(())

    def wait(self) -> None:
        """Wait for the answers of both queries."""
        until(lambda: None not in (self.value(gauges.OVER_LIMIT_7D), self.value(gauges.YESTERDAY_JOBS)))


@contextmanager
def exporting(host: Host, folder: Path, **settings: Any) -> Iterator[Exporting]:
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    chosen: dict[str, Any] = {
        "gauges_seconds": LONG,
        "cache_seconds": 0,
        "hmac_key": "k",
        "anomaly_min_jobs": 5,
    } | settings
    with recording(
        Settings(database_url=host.url, spool_dir=folder, **chosen),
        TracerProvider(shutdown_on_exit=False),
        meter_provider=meters,
    ) as pipeline:
        yield Exporting(pipeline, reader)
    meters.shutdown()


_numbers = count()


def add(host: Host, jobs: int, at: datetime, **known: Any) -> None:
    """Store runs that began at a time (aware)."""
    row = {
        "kind": "analysis",
        "source": "spans",
        "synthetic": False,
        "version": 1,
        "status": "completed",
        "started_at": at.astimezone(UTC).replace(tzinfo=None),
        "ended_at": at.astimezone(UTC).replace(tzinfo=None) + timedelta(seconds=10),
        "seen_at": at.astimezone(UTC).replace(tzinfo=None),
        "duration_us": 10_000_000,
        "candidates": 5,
        "cost_pico": DOLLAR,
        "cost_complete": True,
    }
    rows = [row | {"run_id": f"{next(_numbers):032x}"} | known for _ in range(jobs)]
    with host.engine.begin() as connection:
        connection.execute(runs.insert(), rows)


def today(zone: str = "UTC") -> datetime:
    """Return the beginning of the day, aware."""
    return datetime.combine(datetime.now(ZoneInfo(zone)).date(), time(), ZoneInfo(zone))


def report(host: Host, days: int) -> Any:
    command = ["report", "--days", str(days), "--json", "--database-url", host.url]
    return json.loads(CliRunner().invoke(cli, command, catch_exceptions=False).stdout)


def test_gauges_are_the_figures_of_reports_and_findings(host: Host, tmp_path: Path) -> None:
    """One figure is the same everywhere: as a gauge, in a report, and in a finding."""
    morning = today()
    add(host, 6, morning, rate_limit_hits=2, **OVER, user_chose_override=True)
    add(host, 2, morning, quota_hits=1, status="failed")
    add(host, 1, morning, spend_limit_hits=1, status="interrupted", cost_complete=False, cost_pico=7)
    add(host, 1, morning, kind="intake", cost_pico=123)
    add(host, 14, morning - timedelta(days=20), **OVER)
    add(host, 50, morning - timedelta(days=40), **OVER, user_chose_override=True)

    with exporting(host, tmp_path) as process:
        process.wait()
        value = process.value
        week, month, day = report(host, 7), report(host, 30), report(host, 1)
        assert value(gauges.OVERRIDES_7D) == week["override_rate"] == 1.0
        assert value(gauges.OVERRIDES_30D) == month["override_rate"] == 0.3
        assert value(gauges.OVER_LIMIT_7D) == week["over_limit"] == 6
        assert value(gauges.OVER_LIMIT_30D) == month["over_limit"] == 20
        assert value(gauges.INTERRUPTED_TODAY) == day["interrupted"] == 1
        assert value(gauges.SPEND_TODAY) == float(day["cost"]["dollars"]) == 8.00000000013
        assert (value(gauges.SPEND_TODAY_INCOMPLETE), day["cost"]["complete"]) == (1, False)
        findings = {found.name: found for found in insights(process.pipeline.settings)}
        assert value(gauges.RATE_LIMITED_TODAY) == findings["rate_limited_jobs"].figures["jobs_today"] == 6
        assert value(gauges.QUOTA_REFUSED_TODAY) == findings["quota_used_up"].figures["jobs_today"] == 2
        assert value(gauges.SPEND_LIMITED_TODAY) == findings["spend_limit_reached"].figures["jobs_today"] == 1
        assert value(gauges.LARGEST_JOB) == 1.0
        assert process.points(gauges.GAUGES_EXPORTER) == {(): 1}


def test_yesterday_is_compared_with_its_usual_weekday(host: Host, tmp_path: Path) -> None:
    """The figures of yesterday and their medians are those of the findings that compare them."""
    noon = today() - timedelta(hours=12)
    for week in range(1, 5):
        add(host, 5, noon - timedelta(weeks=week))
        add(host, 1, noon - timedelta(weeks=week), status="failed", duration_us=20_000_000)
    add(host, 13, noon, cost_pico=2 * DOLLAR)
    add(host, 12, noon, status="interrupted", duration_us=90_000_000)

    with exporting(host, tmp_path) as process:
        process.wait()
        found = {finding.name: finding.figures for finding in insights(process.pipeline.settings)}
        value = process.value
        assert value(gauges.YESTERDAY_JOBS) == found["volume"]["jobs"] == 25
        assert value(gauges.USUAL_JOBS) == found["volume"]["usual_jobs"] == 6
        assert value(gauges.YESTERDAY_COST) == found["cost"]["dollars"] == 38
        assert value(gauges.USUAL_COST) == found["cost"]["usual_dollars"] == 6
        assert value(gauges.YESTERDAY_FAILED_JOBS) == found["errors"]["failed"] == 12
        assert value(gauges.YESTERDAY_FAILED) == 0.48
        assert value(gauges.USUAL_FAILED) == found["errors"]["usual_share"]
        assert value(gauges.YESTERDAY_P95) == found["latency"]["p95_seconds"] == 90
        assert value(gauges.USUAL_P95) == found["latency"]["usual_p95_seconds"] == 20
        assert value(gauges.YESTERDAY_INCOMPLETE) == 0


def test_what_is_not_known_has_no_point(host: Host, tmp_path: Path) -> None:
    """No share without jobs, no usual day without history, no cost of imported jobs: zero would be wrong."""
    history = {"kind": "import", "status": "unknown", "cost_pico": 0, "cost_complete": False}
    add(host, 3, today() - timedelta(hours=12), **history)
    with exporting(host, tmp_path) as process:
        process.wait()
        unknown = (
            *(gauges.OVERRIDES_7D, gauges.OVERRIDES_30D, gauges.LAST_SUCCESS_AGE, gauges.LARGEST_JOB),
            *(gauges.YESTERDAY_FAILED, gauges.USUAL_JOBS, gauges.USUAL_COST, gauges.USUAL_FAILED),
            *(gauges.USUAL_P95, gauges.HEALTH_LOG_AGE, gauges.JOBS_WAITING, gauges.WORKER_HEARTBEAT),
        )
        assert [metric.name for metric in unknown if process.points(metric)] == []
        known = (gauges.OVER_LIMIT_7D, gauges.RATE_LIMITED_TODAY, gauges.SPEND_TODAY, gauges.OLDEST_RUN_AGE)
        assert [process.value(metric) for metric in known] == [0, 0, 0, 0]
        assert process.value(gauges.YESTERDAY_JOBS) == 3


def test_runs_under_way_count_with_what_they_have_spent(host: Host, tmp_path: Path) -> None:
    """A budget is watched from the first job on, however long it takes."""
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    add(host, 1, hour_ago, status="running", cost_pico=3 * DOLLAR, cost_complete=False, ended_at=None)
    with exporting(host, tmp_path, timezone=_zone_where_it_is_noon()) as process:
        process.wait()
        assert process.value(gauges.SPEND_TODAY) == process.value(gauges.LARGEST_JOB) == 3
        assert process.value(gauges.SPEND_TODAY_INCOMPLETE) == 1
        assert process.value(gauges.SPEND_MONTH) == 3
        assert 3 <= (process.value(gauges.SPEND_MONTH_FORECAST) or 0) <= 3 * 31.1
        assert process.value(gauges.SILENT_RUNS) == 1
        assert 3600 <= (process.value(gauges.OLDEST_RUN_AGE) or 0) < 3600 + 600


def _zone_where_it_is_noon() -> str:
    """Return a zone in which an hour ago was the same day."""
    return f"Etc/GMT{(datetime.now(UTC).hour - 12):+d}"


def test_ages_are_those_of_the_last_success_and_the_last_logged_day(host: Host, tmp_path: Path) -> None:
    """A day that is logged late is as old as the time since its end; that of today is not negative."""
    add(host, 1, datetime.now(UTC) - timedelta(hours=2, seconds=10))
    add(host, 1, datetime.now(UTC) - timedelta(minutes=5), status="failed")
    host.insert("system_health_log", log_date=(today() - timedelta(days=3)).date())
    with exporting(host, tmp_path) as process:
        process.wait()
        assert 7200 <= (process.value(gauges.LAST_SUCCESS_AGE) or 0) < 7200 + 600
        until(lambda: process.points(gauges.HEALTH_LOG_AGE))
        assert 2 * 86400 <= (process.value(gauges.HEALTH_LOG_AGE) or 0) < 3 * 86400 + 600
    host.insert("system_health_log", log_date=today().date())
    with exporting(host, tmp_path) as process:
        process.wait()
        until(lambda: process.value(gauges.HEALTH_LOG_AGE) == 0)


def test_days_are_those_of_the_time_zone(host: Host, tmp_path: Path) -> None:
    """A run before local midnight is not one of today."""
    zone = "Asia/Kathmandu"
    add(host, 2, today(zone) - timedelta(seconds=1), rate_limit_hits=1)
    add(host, 3, today(zone), rate_limit_hits=1)
    with exporting(host, tmp_path, timezone=zone) as process:
        process.wait()
        assert process.value(gauges.RATE_LIMITED_TODAY) == 3
        assert process.value(gauges.YESTERDAY_JOBS) == 2


def test_a_day_that_is_over_has_no_values() -> None:
    """At midnight yesterday's figures are not shown as today's until the next query, which is due at once."""
    end = datetime.now(UTC) + timedelta(seconds=1)
    query = Query(gauges.TODAY, LONG, lambda: Found({"rate": 6.0}, end))
    query.ask()
    left = query.seconds_of_day()
    assert left is not None and left <= 1
    until(lambda: query.value("rate") is None)
    assert datetime.now(UTC) >= end and query.is_due


def test_a_query_that_fails_at_midnight_waits_for_its_turn() -> None:
    """It is not repeated at once, again and again, because the day of its last values is over."""
    asked: list[datetime] = []

    def ask() -> Found:
        asked.append(datetime.now(UTC))
        if len(asked) > 1:
            raise OSError("the database is down")
        return Found({}, asked[0] + timedelta(seconds=0.5))

    leased = LeasedGauges(
        Settings(gauges_seconds=LONG), "x", lambda: "p", lambda _: (Query("today", LONG, ask),)
    )
    leased.start()
    until(lambda: len(asked) == 2)
    leased.join(2)
    leased.stop()
    leased.join(60)
    assert len(asked) == 2


def test_values_that_cannot_be_renewed_disappear(host: Host, tmp_path: Path) -> None:
    """After a documented time there is no point rather than an old one, and the age shows why."""
    with exporting(host, tmp_path, gauges_seconds=1) as process:
        until(lambda: process.value(gauges.RATE_LIMITED_TODAY) == 0)
        host.execute("DROP VIEW telemetry_jobs")
        until(lambda: process.value(gauges.RATE_LIMITED_TODAY) is None)
        until(lambda: process.points(gauges.GAUGES_AGE).get(("today",), 0) > 2.5)
        until(lambda: process.points(gauges.GAUGES_EXPORTER) == {(): 1})


def test_a_query_that_fails_does_not_stop_the_other(host: Host, tmp_path: Path) -> None:
    """What can be known is exported: here today's figures cannot."""
    host.execute("DROP VIEW telemetry_spend")
    host.execute("DROP VIEW telemetry_analysis_spend")
    host.execute("DROP VIEW telemetry_run_spend")
    with exporting(host, tmp_path) as process:
        until(lambda: process.value(gauges.YESTERDAY_JOBS) == 0)
        assert process.value(gauges.SPEND_TODAY) is None


def test_without_the_tables_nothing_is_exported(
    host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that is not migrated gives no values and one warning; the migration is noticed."""
    host.execute("ALTER TABLE telemetry_found RENAME TO renamed")
    with exporting(host, tmp_path, gauges_seconds=SHORT) as process:
        until(lambda: "telemetry cannot query its gauges" in caplog.text)
        assert process.points(gauges.GAUGES_EXPORTER) == {(): 0}
        assert not process.points(gauges.GAUGES_AGE) and not process.points(gauges.OVER_LIMIT_7D)
        host.execute("ALTER TABLE renamed RENAME TO telemetry_found")
        until(lambda: process.value(gauges.OVER_LIMIT_7D) == 0)
    assert caplog.text.count("telemetry cannot query its gauges") == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_exports_nothing_while_its_parent_does(sqlite_host: Host, tmp_path: Path) -> None:
    """It looks for the lease by itself, and does not repeat what its parent knew at the fork."""
    with exporting(sqlite_host, tmp_path) as process:
        process.wait()
        child = multiprocessing.get_context("fork").Process(target=_export, args=(process, tmp_path / "seen"))
        child.start()
        child.join(120)
        assert (child.exitcode, (tmp_path / "seen").read_text()) == (0, "{(): 0.0} {} True")
        assert process.points(gauges.GAUGES_EXPORTER) == {(): 1} and process.value(gauges.OVER_LIMIT_7D) == 0


def _export(process: Exporting, path: Path) -> None:
    process.points(gauges.GAUGES_EXPORTER)  # starts its thread
    threading.Event().wait(2)
    is_running = any(one.name == "telemetry-gauges" for one in threading.enumerate())
    points = process.points(gauges.GAUGES_EXPORTER), process.points(gauges.OVER_LIMIT_7D)
    path.write_text(" ".join(map(str, (*points, is_running))))


def test_zero_seconds_switch_the_gauges_off(host: Host, tmp_path: Path) -> None:
    """No thread, no query, and no point."""
    with exporting(host, tmp_path, gauges_seconds=0) as process:
        assert [process.points(metric) for metric in gauges.GAUGES if process.points(metric)] == []
        assert not [one for one in threading.enumerate() if one.name == "telemetry-gauges"]
        assert host.rows("telemetry_found") == []


def test_no_reader_no_query(host: Host, tmp_path: Path) -> None:
    """Where nobody reads metrics, nothing is queried for them."""
    settings = Settings(database_url=host.url, spool_dir=tmp_path, hmac_key="k", gauges_seconds=SHORT)
    provider, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([], shutdown_on_exit=False)
    with recording(settings, provider, meter_provider=meters):
        assert not [one for one in threading.enumerate() if one.name == "telemetry-gauges"]


def test_a_process_gives_the_lease_back_when_it_ends(host: Host, tmp_path: Path) -> None:
    """The next one exports at once, not when the lease of the last would have expired."""
    with exporting(host, tmp_path, gauges_seconds=LONG) as process:
        until(lambda: process.points(gauges.GAUGES_EXPORTER) == {(): 1})
    with exporting(host, tmp_path, gauges_seconds=LONG) as process:
        until(lambda: process.points(gauges.GAUGES_EXPORTER) == {(): 1})
        until(lambda: process.value(gauges.OVER_LIMIT_7D) == 0)


@pytest.mark.parametrize("host", ["sqlite"], indirect=True)
def test_every_gauge_is_declared_with_one_source(host: Host, tmp_path: Path) -> None:
    """Every gauge has a point once everything is known: none is declared and never filled."""
    noon = today() - timedelta(hours=12)
    for week in range(5):
        add(host, 5, noon - timedelta(weeks=week), **OVER)
    add(host, 1, today(), rate_limit_hits=1)
    host.insert("system_health_log", log_date=today().date())
    with exporting(host, tmp_path) as process:
        process.pipeline.watch_host(lambda: 4, lambda: datetime.now(UTC))
        process.wait()
        until(lambda: process.points(gauges.WORKER_HEARTBEAT) and process.points(gauges.JOBS_WAITING))
        assert [metric.name for metric in gauges.GAUGES if not process.points(metric)] == []
