"""The configuration of Prometheus: accepted by it, and as the rules and the pages need it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from exporters.alert_rules.alerts.collector import JOB as COLLECTOR_JOB
from exporters.alert_rules.alerts.platform import ALERTMANAGER, PROMETHEUS
from tests.alert_rules.test_files import promtool
from tests.alertmanager import RunningAlertmanager
from tests.collector.running import BASE, RunningCollector
from tests.prometheus import FLAGS, SHIPPED, Prometheus, receiving
from tests.tools import program
from tests.waiting import until

ROOT = SHIPPED.parent
PAGE = ROOT / "docs" / "how-to" / "prometheus.md"
COLLECTOR = ROOT / "collector"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It with the programs that it watches."""
    with (
        pytest.MonkeyPatch.context() as patch,
        RunningCollector(tmp_path_factory.mktemp("collector"), *BASE) as collector,
    ):
        patch.setenv("TEST_ALERTMANAGER", str(program("alertmanager")))
        own = f"127.0.0.1:{collector.ports['COLLECTOR_METRICS_PORT']}"
        with RunningAlertmanager("http://127.0.0.1:9/") as alertmanager:
            place = alertmanager.url.removeprefix("http://")
            with receiving(collector=own, alertmanager=place) as prometheus:
                yield prometheus


def test_prometheus_accepts_it() -> None:
    """With its rules, and without any remark of the linter (R1)."""
    checked = promtool(
        program("promtool"), "check", "config", "--lint=all", "--lint-fatal", SHIPPED / "prometheus.yml"
    )

    assert checked.count("SUCCESS") == 2 + len([*(SHIPPED / "rules").glob("*.yml")])


def test_it_watches_the_programs_on_the_way(running: Prometheus) -> None:
    """It scrapes itself, Alertmanager and the Collector by the names in the rules, and sends alerts."""
    jobs = {PROMETHEUS, ALERTMANAGER, COLLECTOR_JOB}

    until(lambda: {one["metric"]["job"] for one in running.query("up == 1")} == jobs, what="all are up")
    assert {one["metric"]["job"] for one in running.query("up")} == jobs
    until(lambda: len(running.get("alertmanagers")["activeAlertmanagers"]) == 1, what="Alertmanager")


def test_it_keeps_enough(running: Prometheus) -> None:
    """40 days, exemplars, and late data as long as the Collector retries (K7, K9)."""
    status = running.get("status/config")["yaml"]
    [retry_limit] = {
        match
        for file in COLLECTOR.glob("*.yaml")
        for match in re.findall(r"COLLECTOR_RETRY_LIMIT:-(\w+)", file.read_text())
    }

    assert f"out_of_order_time_window: {retry_limit}\n" in status
    assert running.get("status/runtimeinfo")["storageRetention"] == "40d or 10GiB"
    assert running.get("status/flags")["web.enable-otlp-receiver"] == "true"
    assert "exemplar-storage" in running.get("status/flags")["enable-feature"]


def test_the_page_tells_how_the_tests_run_it() -> None:
    """Its command has the same flags."""
    [command] = re.findall(r"^\$ prometheus (.*?)\n```", PAGE.read_text(), re.M | re.S)

    assert {*command.replace("\\\n", " ").split()} - {*FLAGS} == {
        "--config.file=prometheus/prometheus.yml",
        "--storage.tsdb.path=/var/lib/prometheus",
    }


def test_the_page_names_what_is_scraped() -> None:
    """Every address in the configuration is on the page."""
    text = (SHIPPED / "prometheus.yml").read_text()
    places = set(re.findall(r"127\.0\.0\.1:\d+", text))

    assert len(places) == 3
    assert all(place in PAGE.read_text() for place in places)
