"""Each alert has its runbook, and the queries and commands in it can be used as they are."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Final

import click
import pytest

from telemetry.cli.group import cli
from telemetry.conventions import METRICS
from tests.alert_rules.collected import ALERTS, GROUPS
from tests.alert_rules.test_rule_checks import known, selected
from tests.alertmanager import RunningAlertmanager
from tests.runbooks import INDEX, LANGUAGES, PAGES, blocks, commands, expressions
from tests.tools import program

HEADINGS: Final = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
RECORDED: Final = {recording.name for group in GROUPS for recording in group.recordings}
OTHER_PROGRAMS: Final = {"curl", "otelcol", "pg_isready", "promtool"}
ADDED: Final = {"job", "instance", "version"}
"""Labels that Prometheus adds."""
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def test_each_alert_has_its_page() -> None:
    """And each page its alert: one that is renamed takes its page along."""
    assert {page.stem for page in PAGES} == {alert.name for alert in ALERTS}


@pages
def test_a_page_answers_four_questions(page: Path) -> None:
    """In this order, under the alert's name, with its severity and the dashboard to open."""
    text = page.read_text()
    (alert,) = (alert for alert in ALERTS if alert.name == page.stem)

    line = f"`{alert.severity}` · dashboard `{alert.dashboard}` · [all runbooks](README.md)"
    assert text.startswith(f"# {alert.name}\n\n{line}\n\n")
    assert re.findall(r"^#+ (.+)$", text, re.M) == [alert.name, *HEADINGS]
    parts = re.split(r"^## .+$", text, flags=re.M)[1:]
    assert all(part.strip() for part in parts)
    assert any(language == "promql" for language, _ in blocks(page)), "it has no query"


@pages
def test_a_page_names_the_settings_of_its_thresholds(page: Path) -> None:
    """Who thinks that an alert is wrong has to know what to change."""
    (alert,) = (alert for alert in ALERTS if alert.name == page.stem)
    missing = [name for name in alert.settings if f"TELEMETRY_{name.upper()}" not in page.read_text()]

    assert missing == []


def test_the_index_lists_each_page_with_its_severity() -> None:
    """By subject: in the order of the rules, with what they say."""
    rows = re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| (\w+) \| (.+) \|$", INDEX.read_text(), re.M)

    assert rows == [(alert.name, alert.severity, alert.summary) for alert in ALERTS]


@pytest.mark.parametrize("page", [INDEX, *PAGES], ids=lambda page: page.stem)
def test_its_blocks_and_links_are_known(page: Path) -> None:
    """Every block is one that a test tries, and every link leads somewhere."""
    assert {language for language, _ in blocks(page)} <= LANGUAGES
    for path, anchor in re.findall(r"\]\(([^)#:]*)#?([^)]*)\)", page.read_text()):
        target = page.parent / path if path else page
        assert target.exists(), path
        titles = re.findall(r"^#+ (.+)$", target.read_text(), re.M)
        assert not anchor or anchor in {_anchor(title) for title in titles}, anchor


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_prometheus_accepts_every_query(tmp_path: Path) -> None:
    """As the expression of a rule."""
    rules = [{"record": f"runbook:{place}:x", "expr": each} for place, (_, each) in enumerate(expressions())]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "runbooks", "rules": rules}]}))
    done = subprocess.run([program("promtool"), "check", "rules", path], capture_output=True, text=True)

    assert rules and done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("page", "expression"), sorted(set(expressions())))
def test_metrics_of_queries_exist(page: str, expression: str) -> None:
    """With the labels by which they are selected and aggregated."""
    names = [name for name, _ in selected(expression)]
    labels = {metric.prometheus_name: {*metric.labels} for metric in METRICS}
    recorded = re.findall(r"\w+:\w+:\w+", expression)

    assert names or recorded, f"{page}: no selector in {expression}"
    assert {*names} <= known().keys() and {*recorded} <= RECORDED, page
    for selector, matchers in re.findall(r"([a-z_]+)\{([^}]*)\}", expression):
        metric = labels.get(re.sub("_(bucket|sum|count)$", "", selector))
        if metric is not None:
            used = {re.split("[!=]", matcher)[0].strip() for matcher in matchers.split(",")}
            aggregated = re.findall(r"by \(([^)]*)\)", expression)
            used |= {label.strip() for by in aggregated for label in by.split(",")}
            assert used - ADDED - {"le"} <= metric, f"{page}: {expression}"


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_commands_can_be_parsed(page: str, line: str) -> None:
    """Those of ours with their arguments and options; the others are few, and named here."""
    words = [word for word in shlex.split(line) if not re.match(r"[A-Z_]+=", word)]
    if words[0] == "amtool" or words[0] in OTHER_PROGRAMS:
        return
    assert words[:2] == ["flask", "telemetry"], page
    command: click.Command = cli
    words = words[2:]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, f"{page}: {line}"
        command = found
    command.make_context(command.name, words)


def test_commands_of_alertmanager_work() -> None:
    """Each is given to the real one; what is ended there is a silence that was made before."""
    lines = sorted({line for _, line in commands() if line.startswith("amtool ")})
    with RunningAlertmanager("http://127.0.0.1:9/", program=program("alertmanager")) as alertmanager:
        made = _amtool(alertmanager, "silence", "add", "alertname=Test", "--comment=a test")
        for line in lines:
            words = [made if re.fullmatch("[0-9a-f-]{36}", word) else word for word in shlex.split(line)[1:]]
            _amtool(alertmanager, *words)

    silenced = {name for line in lines for name in re.findall(r"silence add alertname=(\w+)", line)}
    assert silenced and silenced <= {alert.name for alert in ALERTS}


def _amtool(alertmanager: RunningAlertmanager, *words: str) -> str:
    arguments = [str(program("amtool")), *words, f"--alertmanager.url={alertmanager.url}"]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout.strip()
