"""Of all processes of an application, exactly one exports the gauges from SQL, however processes end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from functools import partial
from pathlib import Path
from time import monotonic, sleep

import pytest

from exporters.alert_rules.groups import groups
from exporters.gauges.lease import CLOCK_SECONDS, LEASED_PERIODS
from exporters.sql.schema import migrate
from telemetry.settings import Settings
from tests import fresh
from tests.choice import first_of
from tests.end_to_end.collector import Collector
from tests.exporters.makers import Host
from tests.postgres import TemporaryPostgres, free_port
from tests.prometheus import Prometheus
from tests.waiting import until

HOSTS = ("sqlite", "psycopg2", "psycopg", "pgbouncer")

PROGRAM = """
import sys, telemetry
settled = telemetry.setup_telemetry(jobs_waiting=lambda: 4)
print("ready", flush=True)
for line in sys.stdin:
    with telemetry.run("analysis"):
        pass
    print("done", flush=True)
"""
OFFLINE = """
import sys
def refuse(event, arguments):
    if event == "socket.connect" and arguments[0].family.name != "AF_UNIX":
        print(f"connected to {arguments[1]}", flush=True)
sys.addaudithook(refuse)
"""
GAUGE = "analysis_rate_limited_jobs_today"


class Process:
    """A process of an application, with its own port for Prometheus."""

    def __init__(self, url: str, folder: Path, seconds: float, program: str, **environment: str) -> None:
        self.port = free_port()
        settings = {
            "PYTHONPATH": os.getcwd(),
            "TELEMETRY_DATABASE_URL": url,
            "TELEMETRY_HMAC_KEY": "k",
            "TELEMETRY_SPOOL_DIR": str(folder / "spool"),
            "TELEMETRY_METRICS_PORT": str(self.port),
            "TELEMETRY_GAUGES_SECONDS": str(seconds),
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
        }
        self._process = fresh.talk("-c", program, env=os.environ | settings | environment)
        assert self.line() == "ready"

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def work(self) -> str:
        """Let the process do a run; return what it prints afterwards."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.line()

    def page(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as answer:
            text: str = answer.read().decode()
        return text

    def value(self, name: str) -> float | None:
        found = re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", self.page(), re.MULTILINE)
        return float(found[1]) if found else None

    @property
    def is_exporter(self) -> bool:
        return self.value("telemetry_gauges_exporter") == 1

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, unless it has ended, and wait for the end."""
        self._process.send_signal(number)
        self._process.communicate(timeout=60)

    def end(self) -> str:
        """Let the process end by itself; return what it still prints."""
        printed, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        return printed


@contextmanager
def processes(number: int, url: str, folder: Path, seconds: float = 1) -> Iterator[list[Process]]:
    started: list[Process] = []
    try:
        for _ in range(number):
            started.append(Process(url, folder, seconds, PROGRAM))
        yield started
    finally:
        for process in started:
            process.kill()


def test_exactly_one_of_two_processes_exports(host: Host, tmp_path: Path) -> None:
    """The other says so: it has no gauge, and telemetry_gauges_exporter is 0 in it."""
    with processes(2, host.url, tmp_path, seconds=600) as two:
        until(lambda: sum(one.is_exporter for one in two) == 1)
        exporter, other = sorted(two, key=lambda one: not one.is_exporter)
        until(lambda: exporter.value(GAUGE) == 0)
        until(lambda: exporter.value("analysis_jobs_waiting") or other.value("analysis_jobs_waiting"))
        assert other.value(GAUGE) is None and other.value("telemetry_gauges_exporter") == 0
        assert "in the process that exports the gauges from SQL for all" in other.page()


def test_another_takes_over_from_a_killed_one(host: Host, tmp_path: Path) -> None:
    """It begins within the time that the documentation names, and the figures are there at once."""
    with processes(2, host.url, tmp_path, seconds=1) as two:
        until(lambda: any(one.value(GAUGE) == 0 for one in two))
        exporter, other = sorted(two, key=lambda one: not one.is_exporter)
        exporter.kill()
        killed = monotonic()
        until(lambda: other.value(GAUGE) == 0)
        waited = monotonic() - killed
        assert other.is_exporter
        # As documented, and the time of a busy machine for the queries themselves.
        assert waited < LEASED_PERIODS + CLOCK_SECONDS + 1 + 15


@pytest.mark.parametrize("how", ["end", "SIGTERM"])
def test_a_restart_exports_at_once(how: str, host: Host, tmp_path: Path) -> None:
    """A process that ends gives the lease back: the next need not wait until it would have expired."""
    with processes(1, host.url, tmp_path, seconds=600) as (first,):
        until(lambda: first.value(GAUGE) == 0)
        if how == "end":
            first.end()
        else:
            first.kill(signal.SIGTERM)
    with processes(1, host.url, tmp_path, seconds=600) as (second,):
        until(lambda: second.value(GAUGE) == 0)


def test_a_process_that_has_nothing_to_do_exports(sqlite_host: Host, tmp_path: Path) -> None:
    """No run is needed, neither before nor afterwards, and there is no network but for the database."""
    with processes(0, "", tmp_path):
        process = Process(sqlite_host.url, tmp_path, 600, OFFLINE + PROGRAM)
        until(lambda: process.value(GAUGE) == 0 and process.value("analysis_yesterday_jobs") == 0)
        assert process.end() == ""


def test_a_database_that_is_down_does_not_concern_the_application(tmp_path: Path) -> None:
    """Runs, the page and the end of the process go on; the gauges disappear, and come back with it."""
    with TemporaryPostgres() as server:
        url = server.create_database("psycopg")
        migrate.upgrade(url, with_base_tables=True)
        with processes(1, url, tmp_path) as (one,):
            until(lambda: one.value(GAUGE) == 0)
            server.stop()
            until(lambda: one.value("telemetry_gauges_exporter") == 0)
            assert one.value(GAUGE) is None and one.value("telemetry_gauges_age_seconds") is None
            assert one.work() == "done"
            assert one.value("analysis_runs_total") is not None
            server.start()
            until(lambda: one.value(GAUGE) == 0)


def test_a_database_without_our_tables_or_that_does_not_exist_is_left_alone(tmp_path: Path) -> None:
    """No gauge, no file that an application would take for its database, and its runs go on."""
    with processes(1, f"sqlite:///{tmp_path / 'none.sqlite'}", tmp_path, seconds=0.1) as (one,):
        sleep(1)
        assert one.value("telemetry_gauges_exporter") == 0 and one.value(GAUGE) is None
        assert not (tmp_path / "none.sqlite").exists()


def test_alerts_find_what_they_are_about(
    sqlite_host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alerts of overrides, rate limits and yesterday's cost do so by what the gauges say."""
    names = ("AnalysisOverrideRateRising", "AnalysisJobsRateLimited", "AnalysisCostAnomaly")
    monkeypatch.setenv("TELEMETRY_ANOMALY_MIN_JOBS", "5")
    settings = Settings(alert_job="ours", anomaly_min_jobs=5)
    alerts = {alert.name: alert.expression for group in groups(settings) for alert in group.alerts}
    today = datetime.combine(datetime.now(UTC).date(), time())
    for number in range(46):
        overridden, at = number < 6, today - timedelta(days=0 if number < 6 else 20)
        if number >= 20:
            at = today - timedelta(days=1) - timedelta(weeks=number % 5)
        add_job(sqlite_host, number, at, is_over=number < 20, is_overridden=overridden)
    with processes(1, sqlite_host.url, tmp_path) as (one,), Prometheus(one.port) as prometheus:
        until(lambda: one.value("analysis_usual_day_cost_usd"))
        for name in names:
            until(partial(prometheus.query, alerts[name]), what=name)
        assert prometheus.query("analysis_yesterday_jobs > 2 * analysis_usual_day_jobs") == []


def add_job(host: Host, number: int, at: datetime, *, is_over: bool, is_overridden: bool) -> None:
    """Store a job; one of yesterday is expensive."""
    is_recent = datetime.now(UTC).replace(tzinfo=None) - at < timedelta(days=2)
    host.insert(
        "telemetry_runs",
        run_id=f"{number:032x}",
        kind="analysis",
        source="spans",
        synthetic=False,
        version=1,
        status="completed",
        started_at=at,
        cost_pico=10**12 * (5 if is_recent else 1),
        cost_complete=True,
        rate_limit_hits=1,
        candidates=1,
        exceeded_resume_limit=is_over,
        user_chose_override=is_overridden,
    )


APPLICATION = """
import flask, telemetry

def create_app():
    app = flask.Flask("host")
    app.config["SECRET_KEY"] = "secret"
    telemetry.Telemetry(app, engine="sqlite:///host.sqlite", jobs_waiting=lambda: 6)
    return app
"""


@pytest.mark.parametrize("preload", first_of([["--preload"], []], "what survives a fork works without one"))
def test_one_worker_of_a_server_exports_before_any_request(
    preload: list[str], migrated_sqlite: Path, tmp_path: Path
) -> None:
    """With its first export: a server that has just started may wait long for a request."""
    shutil.copy(migrated_sqlite, tmp_path / "host.sqlite")
    (tmp_path / "host.py").write_text(APPLICATION)
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gunicorn", *preload, "-w", "2", "-b", address, "host:create_app()"]
    with Collector() as collector:
        environment = os.environ | {
            "PYTHONPATH": f"{tmp_path}:{os.getcwd()}",
            "TELEMETRY_SPOOL_DIR": str(tmp_path / "spool"),
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }
        server = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL)
        try:
            until(lambda: any(collector._points("analysis.yesterday.jobs")), 120)
            until(lambda: any(collector._points("analysis.jobs_waiting")), 120)
            if not preload:
                until(lambda: len(collector.processes()) == 2, 120)
                until(lambda: len(list(collector._points("telemetry.gauges.exporter"))) > 4, 120)
                assert collector.total("telemetry.gauges.exporter") == 1
        finally:
            server.terminate()
            server.wait(timeout=120)
