"""The rule files: what the command writes is what Prometheus accepts, and what is committed."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporters.alert_rules.files import annotations_of, files, write
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
    for settings, name in ((Settings(), "all"), (without, "without")):
        promtool(program("promtool"), *LINT, *write(settings, tmp_path / name))


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
    """One command writes them; with --check it tells whether it has to be repeated."""
    directory = str(tmp_path / "rules")
    changed = {"TELEMETRY_BUDGET_DAY_USD": "12.5", "TELEMETRY_ALERT_JOB": "shop/hiring"}

    def run(*arguments: str, env: dict[str, str]) -> tuple[int, str]:
        done = CliRunner(env=env).invoke(cli, ["rules", directory, *arguments])
        return done.exit_code, done.output.strip()

    assert run(env={}) == (0, f"{len(GROUPS)} files written to {directory}.")
    assert run("--check", env={}) == (0, f"{directory} is up to date.")
    message = f"Error: {directory} is out of date: run flask telemetry rules {directory}"
    assert run("--check", env=changed) == (1, message)
    (tmp_path / "rules" / "own.yml").write_text("groups: []\n")
    assert run(env=changed)[0] == 0
    assert run("--check", env=changed)[0] == 0
    money = (tmp_path / "rules" / "money.yml").read_text()
    assert 'analysis_spend_today_usd{job="shop/hiring"}) > 12.5\n' in money
    assert 'job="screener"' not in "".join(path.read_text() for path in tmp_path.rglob("*.yml"))
    assert (tmp_path / "rules" / "own.yml").exists()


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    """One that has a name of ours stops the command before it writes; others need not even be text."""
    (tmp_path / "own.yml").write_bytes(b"# caf\xe9\n")
    (tmp_path / "folder.yml").mkdir()
    (tmp_path / "jobs.yml").write_text("groups: []\n")

    done = CliRunner().invoke(cli, ["rules", str(tmp_path)])
    message = f"DIRECTORY: {tmp_path} cannot be written (jobs.yml in it was not written by this command)"
    assert (done.exit_code, done.output) == (1, f"Error: {message}: name another place\n")
    assert {path.name for path in tmp_path.iterdir()} == {"own.yml", "folder.yml", "jobs.yml"}
    assert (tmp_path / "jobs.yml").read_text() == "groups: []\n"

    (tmp_path / "jobs.yml").unlink()
    assert CliRunner().invoke(cli, ["rules", str(tmp_path)]).exit_code == 0
    assert CliRunner().invoke(cli, ["rules", str(tmp_path), "--check"]).exit_code == 0
    assert (tmp_path / "own.yml").read_bytes() == b"# caf\xe9\n"


def test_files_keep_their_mode(tmp_path: Path) -> None:
    """So that Prometheus can go on reading them, whatever the umask; and no other file stays behind."""
    write(Settings(), tmp_path)
    (tmp_path / "money.yml").chmod(0o640)
    write(replace(Settings(), budget_day_usd=7), tmp_path)

    assert (tmp_path / "money.yml").stat().st_mode & 0o777 == 0o640
    assert "> 7\n" in (tmp_path / "money.yml").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {f"{group.name}.yml" for group in GROUPS}


@pytest.mark.parametrize("objective", ["0.06", "0.07", "0.17", "0.2", "0.5", "0.99"])
def test_no_objective_makes_an_alert_mute(tmp_path: Path, objective: str) -> None:
    """If all jobs fail, both alerts are raised, however many may."""
    env = {"TELEMETRY_FAILED_JOBS_OBJECTIVE": objective}
    assert CliRunner(env=env).invoke(cli, ["rules", str(tmp_path)]).exit_code == 0
    limits = re.findall(r"ratio_increase\w+ > (\S+)", (tmp_path / "failures.yml").read_text())

    assert len(limits) == 8
    assert all(float(objective) <= float(limit) < 1 for limit in limits)


def test_figures_that_are_queried_less_often_may_be_older(tmp_path: Path) -> None:
    """Those that change once a day are queried every twenty times only."""
    env = {"TELEMETRY_GAUGES_SECONDS": "90"}
    assert CliRunner(env=env).invoke(cli, ["rules", str(tmp_path)]).exit_code == 0
    rule = (tmp_path / "pipeline.yml").read_text().partition("alert: AnalysisGaugesMissing")[2]

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
