"""The rule files: what the command writes is what Prometheus accepts, and what is committed."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporters.alert_rules.files import annotations_of, files
from exporters.alert_rules.groups import groups
from telemetry.cli.group import cli
from telemetry.settings import Settings
from tests.alert_rules.collected import GROUPS
from tests.debian import unpacked
from tests.prometheus import Prometheus
from tests.tools import program

ROOT = Path(__file__).parents[2]
RULES = ROOT / "prometheus" / "rules"
LINT = ("check", "rules", "--lint=all", "--lint-fatal")


def promtool(tool: str | Path, *arguments: str | Path) -> str:
    done = subprocess.run([tool, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_committed_rules_are_those_of_the_default_settings() -> None:
    """`make docs` writes them; nobody edits them."""
    assert {path.name: path.read_text() for path in RULES.glob("*")} == files(Settings())


def test_prometheus_accepts_them(tmp_path: Path) -> None:
    """Those of the default settings, and those without budgets, without any remark of the linter."""
    without = replace(Settings(), budget_day_usd=0, budget_month_usd=0, budget_job_usd=0)
    for place, settings in enumerate((Settings(), without)):
        for name, content in files(settings).items():
            (tmp_path / f"{place}-{name}").write_text(content)
    promtool(program("promtool"), *LINT, *tmp_path.glob("*.yml"))


def test_debians_prometheus_accepts_them() -> None:
    """It is version 2.42."""
    tool = unpacked("prometheus", ("prometheus",), "usr/bin/promtool") / "usr/bin/promtool"

    assert "SUCCESS" in promtool(tool, *LINT, *RULES.glob("*.yml"))


def test_files_say_what_the_rules_are() -> None:
    """Read by Prometheus they are the groups, recordings and alerts, with their times, labels and texts."""
    settings = f'rule_files: ["{RULES}/*.yml"]\n'
    with Prometheus(program=program("prometheus"), settings=settings) as prometheus:
        read = {group["name"]: group for group in prometheus.get("rules")["groups"]}

    assert read.keys() == {group.name for group in GROUPS}
    for group in GROUPS:
        assert read[group.name]["interval"] == group.interval_seconds
        rules = read[group.name]["rules"]
        assert [rule["name"] for rule in rules if rule["type"] == "recording"] == [
            recording.name for recording in group.recordings
        ]
        assert [
            [rule.get(name) for name in ("name", "duration", "keepFiringFor", "labels", "annotations")]
            for rule in rules
            if rule["type"] == "alerting"
        ] == [
            [
                alert.name,
                alert.for_seconds,
                alert.keep_seconds,
                {"severity": alert.severity, "service": alert.service},
                annotations_of(alert, Settings()),
            ]
            for alert in group.alerts
        ]


def test_a_changed_setting_changes_its_rules(tmp_path: Path) -> None:
    """The command writes them; the name of the application is in all of them."""
    written(tmp_path, TELEMETRY_BUDGET_DAY_USD="12.5", TELEMETRY_ALERT_JOB="shop/hiring")

    assert 'analysis_spend_today_usd{job="shop/hiring"}) > 12.5\n' in written_rule(tmp_path, "money")
    rules = "".join(path.read_text() for path in tmp_path.rglob("rules/*.yml"))
    assert rules and 'job="screener"' not in rules


def written(directory: Path, **settings: str) -> None:
    done = CliRunner(env=settings).invoke(cli, ["assets", str(directory)])
    assert done.exit_code == 0, done.output


def written_rule(directory: Path, name: str) -> str:
    return (directory / "prometheus" / "rules" / f"{name}.yml").read_text()


@pytest.mark.parametrize("objective", ["0.06", "0.07", "0.17", "0.2", "0.5", "0.99"])
def test_no_objective_makes_an_alert_mute(tmp_path: Path, objective: str) -> None:
    """If all jobs fail, both alerts are raised, however many may."""
    written(tmp_path, TELEMETRY_FAILED_JOBS_OBJECTIVE=objective)
    limits = re.findall(r"ratio_increase\w+ > (\S+)", written_rule(tmp_path, "failures"))

    assert len(limits) == 8
    assert all(float(objective) <= float(limit) < 1 for limit in limits)


def test_figures_that_are_queried_less_often_may_be_older(tmp_path: Path) -> None:
    """Those that change once a day are queried every twenty times only."""
    written(tmp_path, TELEMETRY_GAUGES_SECONDS="90")
    rule = written_rule(tmp_path, "pipeline").partition("alert: AnalysisGaugesMissing")[2]

    assert re.findall(r"age_seconds\{.*query=\"(\w+)\"\}\) > (\d+)", rule) == [
        ("today", "360"),
        ("days", "1800"),
    ]
    assert re.findall(r"for: (\w+)", rule)[0] == "6m"


def test_without_a_budget_there_is_no_rule_about_it() -> None:
    """0 means that there is no limit."""
    names = {
        alert.name
        for group in groups(replace(Settings(), budget_month_usd=0))
        for alert in group.alerts
        if "Budget" in alert.name
    }

    assert names == {"AnalysisDailyBudgetPassed", "AnalysisDailyBudgetNearlySpent", "AnalysisJobBudgetPassed"}
