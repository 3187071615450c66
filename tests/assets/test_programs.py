"""The programs accept what is written, with settings that are not the default."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.assets.conftest import Command
from tests.tools import program

OURS = {
    "TELEMETRY_ALERT_JOB": "shop/hiring",
    "TELEMETRY_APP_URL": "https://hiring.example.com",
    "TELEMETRY_BUDGET_MONTH_USD": "1250.5",
    "TELEMETRY_RUNBOOKS_URL": "https://docs.example.com/runbooks",
    "TELEMETRY_GRAFANA_URL": "https://grafana.example.com",
}


@pytest.fixture
def written(assets: Command) -> Path:
    assert assets(**OURS)[0] == 0
    return assets.directory


def accepted(*command: str | Path) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_prometheus_accepts_configuration_and_rules(written: Path) -> None:
    """The configuration finds the rules beside it."""
    configuration = written / "prometheus" / "prometheus.yml"
    checked = accepted(program("promtool"), "check", "config", "--lint=all", "--lint-fatal", configuration)

    assert checked.count("SUCCESS") == 2 + len([*(written / "prometheus" / "rules").glob("*.yml")])
    rules = "".join(path.read_text() for path in (written / "prometheus" / "rules").glob("*.yml"))
    assert 'job="shop/hiring"' in rules and 'job="screener"' not in rules
    assert '"https://docs.example.com/runbooks/AnalysisNoSuccess.md"' in rules
    assert '"https://grafana.example.com/d/analysis-cost"' in rules


def test_alertmanager_accepts_its_configuration(written: Path) -> None:
    """The one that notifies nobody, and one that `cat` makes of the parts."""
    folder = written / "prometheus" / "alertmanager"
    parts = ["routing.yml", *(f"receivers/{name}.yml" for name in ("page-webhook", "channel-slack"))]
    parts += ["receivers/platform-slack.yml", "receivers/watchdog-webhook.yml"]
    (folder / "own.yml").write_text("".join((folder / part).read_text() for part in parts))

    for name in ("alertmanager.yml", "own.yml"):
        assert "SUCCESS" in accepted(program("amtool"), "check-config", folder / name)


def test_the_collector_accepts_the_layers(written: Path) -> None:
    """Base, redaction and the two backends."""
    layers = ("collector.yaml", "redaction.yaml", "prometheus.yaml", "jaeger.yaml")
    options = [f"--config={written / 'collector' / layer}" for layer in layers]

    accepted(program("otelcol"), "validate", *options)
