"""The programs accept what is written, with settings that are not the default."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from exporters.assets.contents import contents, dashboards
from telemetry.conventions.gauges import SPEND_MONTH
from telemetry.settings import Settings
from tests.assets.conftest import Command
from tests.tools import program

OURS = {
    "TELEMETRY_ALERT_JOB": "the shop/hiring & more: (new) #1",
    "TELEMETRY_ALERTMANAGER_TARGETS": "alertmanager-0:9093, [::1]:9093",
    "TELEMETRY_COLLECTOR_TARGETS": "",
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
    assert f'job="{OURS["TELEMETRY_ALERT_JOB"]}"' in rules and 'job="screener"' not in rules
    assert '"https://docs.example.com/runbooks/AnalysisNoSuccess.md"' in rules
    assert '"https://grafana.example.com/d/analysis-cost"' in rules


def test_prometheus_finds_the_programs_of_the_host() -> None:
    """By settings, so that nobody has to edit the configuration; without a program there is no address."""
    settings = Settings(alertmanager_targets=("am-0:9093", "am-1:9093"), collector_targets=())
    found = yaml.safe_load(contents(settings)["prometheus/prometheus.yml"])

    scraped = {job["job_name"]: job["static_configs"][0]["targets"] for job in found["scrape_configs"]}
    pair = ["am-0:9093", "am-1:9093"]
    assert found["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": pair}]}]
    assert scraped == {"prometheus": ["127.0.0.1:9090"], "alertmanager": pair, "otelcol": []}


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


@pytest.mark.parametrize(("budget", "used", "left"), [(1250.5, 0.4, 750.3), (0, None, None)])
def test_budgets_in_panels_are_computed(
    tmp_path: Path, budget: float, used: float | None, left: float | None
) -> None:
    """By Prometheus, from what is spent; without a budget there is nothing to see, and no alarm."""
    shown = dashboards(Settings(budget_month_usd=budget))
    wanted = (
        ("analysis-overview", "Budget used this month", used),
        ("analysis-cost", "Budget left this month", left),
    )
    tests = []
    for uid, title, value in wanted:
        panels = json.loads(shown[f"{uid}.json"])["panels"]
        (panel,) = [each for each in panels if each["title"] == title]
        expression = panel["targets"][0]["expr"].replace("$job", "shop/hiring")
        samples = [] if value is None else [{"labels": '{job="shop/hiring"}', "value": value}]
        tests.append({"expr": expression, "eval_time": "0", "exp_samples": samples})
    spent = {"series": f'{SPEND_MONTH.prometheus_name}{{job="shop/hiring", instance="1"}}', "values": "500.2"}
    content = {"fuzzy_compare": True, "tests": [{"input_series": [spent], "promql_expr_test": tests}]}
    (tmp_path / "budgets.test.yml").write_text(json.dumps(content))

    assert "SUCCESS" in accepted(program("promtool"), "test", "rules", tmp_path / "budgets.test.yml")
