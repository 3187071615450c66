"""Panels and marks of alerts show those of the rules, and no alert of others."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

import pytest

from exporters.alert_rules.files import annotations_of
from exporters.alert_rules.groups import groups
from exporters.assets.contents import dashboards
from telemetry.settings import Settings
from tests.grafana.dashboards import each_dashboard, targets, texts
from tests.tools import program

OURS: Final = (
    ("AnalysisSpoolOld", "warning", "screener", ""),
    ("AnalysisStageSlow", "warning", "screener", 'stage="ranking"'),
    ("AnalysisStageSlow", "warning", "screener", 'stage="insights"'),
    ("AnalysisSpoolOld", "warning", "other", ""),
    ("PostgresDown", "critical", "postgres", ""),
    ("Watchdog", "info", "prometheus", ""),
)
OF_OTHERS: Final = (
    ("PostgresTooManyConnections", "critical", "postgres", ""),
    ("PrometheusTargetMissing", "critical", "prometheus", ""),
    ("AlertmanagerClusterDown", "warning", "", ""),
    ("AnalysisOfTheirs", "critical", "screener", ""),
    ("PostgresDown", "critical", "their-database", ""),
)
"""Names, severities, services and further labels."""


def _series(alert: tuple[str, str, str, str], state: str = "firing") -> str:
    name, severity, service, more = alert
    return (
        f'ALERTS{{alertname="{name}", alertstate="{state}", severity="{severity}", service="{service}"'
        f"{', ' if more else ''}{more}}}"
    )


def _row(name: str, severity: str, service: str, value: int = 1) -> dict[str, object]:
    return {
        "labels": f'{{alertname="{name}", severity="{severity}", service="{service}"}}',
        "value": value,
    }


def test_alerts_are_those_of_the_rules_about_the_chosen_application(tmp_path: Path) -> None:
    """In the number, the list and the marks; one that waits does not count, and one in two stages is one."""
    (number,) = (each for each in targets() if each.panel["title"] == "Alerts firing")
    (listed,) = (each for each in targets() if each.panel["title"] == "Alerts")
    (marks,) = {board["annotations"]["list"][0]["expr"] for board in each_dashboard()}
    down = _row("PostgresDown", "critical", "postgres")
    rows = {
        "screener": [
            _row("AnalysisStageSlow", "warning", "screener", 2),
            _row("AnalysisSpoolOld", "warning", "screener"),
            down,
        ],
        "other": [_row("AnalysisSpoolOld", "warning", "other"), down],
        "third": [down],
    }
    expressions = []
    for job, there in rows.items():
        critical = [{"labels": _series(OURS[4]), "value": 1}]
        for expression, samples in (
            (number.expression, [{"labels": "{}", "value": len(there)}]),
            (listed.expression, there),
            (marks, critical),
        ):
            expr = expression.replace("$job", job)
            expressions.append({"expr": expr, "eval_time": "1m", "exp_samples": samples})
    waiting = _series(("AnalysisSpoolFull", "warning", "screener", ""), "pending")
    series = [*map(_series, (*OURS, *OF_OTHERS)), waiting]
    test = {
        "input_series": [{"series": name, "values": "1 1 1"} for name in series],
        "promql_expr_test": expressions,
    }
    (tmp_path / "test.yml").write_text(json.dumps({"tests": [test]}))
    done = subprocess.run(
        [program("promtool"), "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("url", ["docs/runbooks", "https://wiki.example.com/runbooks/"])
def test_an_alert_of_the_list_leads_to_its_runbook(url: str) -> None:
    """At the address that the alert itself has, with the settings of the host."""
    host = Settings(runbooks_url=url)
    overview = json.loads(dashboards(host)["analysis-overview.json"])
    (panel,) = (each for each in overview["panels"] if each["title"] == "Alerts")
    (link,) = (
        link["url"]
        for rule in panel["fieldConfig"]["overrides"]
        for each in rule["properties"]
        if rule["matcher"]["options"] == "alertname" and each["id"] == "links"
        for link in each["value"]
    )
    for group in groups(host):
        for alert in group.alerts:
            runbook = annotations_of(alert, host)["runbook_url"]
            assert link.replace("${__value.raw}", alert.name) == runbook


def test_alerts_that_a_host_does_not_have_are_not_looked_for() -> None:
    """Without a budget, nothing of that name is ours."""
    without = json.loads(dashboards(Settings(budget_job_usd=0))["analysis-overview.json"])
    named = [text for text in texts(without) if "AnalysisJobBudgetPassed" in text]
    assert not named and any("AnalysisSpoolOld" in text for text in texts(without))
