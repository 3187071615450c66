"""Prometheus in docker-compose.yml: what it receives, scrapes, evaluates and shows (K7 to K12)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from examples.screener.install import EXPORTER
from exporters.alert_rules.alerts.platform import POSTGRES
from tests.prometheus import Prometheus
from tests.stack import files as stack
from tests.tools import program
from tools.compose import prometheus


def test_prometheus_runs_as_the_page_says() -> None:
    """K7: it receives OTLP, keeps exemplars, and metrics for longer than any rule looks back."""
    command = stack.services()["prometheus"]["command"]
    kept = stack.load(prometheus.FILE)["storage"]["tsdb"]["retention"]

    assert {"--web.enable-otlp-receiver", "--enable-feature=exemplar-storage"} <= set(command)
    assert int(kept["time"].removesuffix("d")) >= 33 and kept["size"]
    assert not [flag for flag in command if "retention" in flag]


def test_intervals_agree() -> None:
    """K8: what is exported, what is scraped and what Grafana asks for."""
    exported = int(stack.environment("app")["OTEL_METRIC_EXPORT_INTERVAL"]) // 1000
    scraped = stack.load(prometheus.FILE)["global"]["scrape_interval"]

    assert (
        f"{exported}s" == scraped == stack.data_sources()["analysis-prometheus"]["jsonData"]["timeInterval"]
    )


def test_names_in_prometheus() -> None:
    """K9: what becomes of names and attributes is said, and late data are taken."""
    parsed = stack.load(prometheus.FILE)
    received = parsed["otlp"]

    assert received["translation_strategy"] == "UnderscoreEscapingWithSuffixes"
    assert received["keep_identifying_resource_attributes"] is True
    wanted = {"service.name", "service.version", "deployment.environment.name"}
    assert wanted <= set(received["promote_resource_attributes"])
    assert parsed["storage"]["tsdb"]["out_of_order_time_window"] == "12h"


def test_alerts_reach_alertmanager() -> None:
    """K11: Prometheus knows it, and what is written for it is where its configuration looks."""
    parsed = stack.load(prometheus.FILE)
    ((target,),) = [one["targets"] for one in parsed["alerting"]["alertmanagers"][0]["static_configs"]]
    inside = stack.mounts("prometheus")

    assert target == "alertmanager:9093"
    assert parsed["rule_files"] == ["rules/*.yml"]
    assert inside["/etc/prometheus/rules"] == stack.mounts("assets")["/assets/prometheus/rules"]
    assert (stack.ROOT / inside["/etc/prometheus/prometheus.yml"]).samefile(prometheus.FILE)


def test_runbooks_are_shown_where_alerts_lead() -> None:
    """Prometheus shows each of them as it is, from the folder with what was written for it."""
    (flag,) = [word for word in stack.services()["prometheus"]["command"] if "console.templates" in word]
    name, _, folder = flag.partition("=")
    runbooks = sorted((stack.ROOT / "docs" / "runbooks").glob("*.md"))

    assert stack.mounts("prometheus")[folder] == stack.mounts("assets")["/assets/docs/runbooks"]
    arguments = (f"{name}={runbooks[0].parent}",)
    with Prometheus(program=program("prometheus"), arguments=arguments) as running:
        for runbook in runbooks:
            with urlopen(f"{running.url}/consoles/{runbook.name}", timeout=30) as answer:
                assert answer.read().decode() == runbook.read_text(), runbook
                assert answer.headers["Content-Type"].startswith("text/plain"), runbook


def test_the_database_is_watched() -> None:
    """R16: the job by which `PostgresDown` knows it is scraped, as the page on Prometheus adds one."""
    (file,) = [path for path in stack.mounts("prometheus") if path.startswith("/etc/prometheus/scrape/")]
    (job,) = stack.load(stack.ROOT / stack.mounts("prometheus")[file])["scrape_configs"]

    assert stack.load(prometheus.FILE)["scrape_config_files"] == ["scrape/*.yml"]
    assert (job["job_name"], job["static_configs"]) == (POSTGRES, [{"targets": ["postgres-exporter:9187"]}])
    assert stack.environment("postgres-exporter")["DATA_SOURCE_USER"] == EXPORTER


@pytest.mark.parametrize("name", ["app", "worker", "daily-check"])
def test_the_application_exports_as_it_should(name: str) -> None:
    """K12: cumulative, under one name; each process has an id of its own if nobody gives one."""
    given = stack.environment(name)

    assert given["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"] == "cumulative"
    assert given["OTEL_SERVICE_NAME"] == "screener"
    assert "service.instance.id" not in given["OTEL_RESOURCE_ATTRIBUTES"]


def test_the_copy_differs_in_addresses_only() -> None:
    """What Prometheus reads there is what operators get: `make docs` writes the copy."""
    assert prometheus.FILE.read_text() == prometheus.page()
    ours = prometheus.SOURCE.read_text().splitlines()
    copied = prometheus.page().splitlines()[1:]
    different = [(old, new) for old, new in zip(ours, copied, strict=True) if old != new]
    assert len(different) == 3
    for old, new in different:
        addressed = old.replace("127.0.0.1:9093", "alertmanager:9093").replace(
            "127.0.0.1:8888", "collector:8888"
        )
        assert addressed == new


def test_the_copy_is_accepted(tmp_path: Path) -> None:
    """By the program for that, with its rules and the database, as they are in the container."""
    shutil.copy(prometheus.FILE, tmp_path / "prometheus.yml")
    shutil.copytree(stack.ROOT / "prometheus" / "rules", tmp_path / "rules")
    (tmp_path / "scrape").mkdir()
    shutil.copy(stack.ROOT / "prometheus" / "postgres.yml", tmp_path / "scrape")
    command = [str(program("promtool")), "check", "config", "--lint=all", "--lint-fatal"]
    command.append(str(tmp_path / "prometheus.yml"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") >= 2
