"""Run cases with promtool, all in one call."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from exporters.alert_rules.alert import Alert, Group
from exporters.alert_rules.files import annotations_of, text
from telemetry.settings import Settings
from tests.alert_rules.case import Case
from tests.tools import program


def failed(trials: Mapping[str, tuple[Group, Alert, Sequence[Case]]], directory: Path) -> dict[str, str]:
    """Return what promtool says of each trial that fails, by its name.

    Args:
        trials: by name a group of rules, the alert that the cases are about, with the labels and annotations
            that it ought to have, and the cases.
        directory: an empty directory.
    """
    settings, names = Settings(), []
    for name, (group, alert, cases) in trials.items():
        (directory / f"{name}.rules.yml").write_text(text(group, settings))
        minutes = {case.minutes for case in cases}
        assert len(minutes) == 1, f"the cases of {alert.name} have steps of different length"
        content = {
            "rule_files": [f"{name}.rules.yml"],
            "evaluation_interval": f"{minutes.pop()}m",
            "fuzzy_compare": True,
            "tests": [_test(case, alert, settings) for case in cases],
        }
        # JSON is YAML.
        (directory / f"{name}.test.yml").write_text(json.dumps(content, indent=1))
        names.append(f"{name}.test.yml")
    done = subprocess.run(
        [program("promtool"), "test", "rules", *names],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return _failures(done.stdout, [*trials])


def _test(case: Case, alert: Alert, settings: Settings) -> dict[str, object]:
    rules: list[dict[str, object]] = [
        {"eval_time": f"{step * case.minutes}m", "alertname": case.alert, "exp_alerts": []}
        for step in case.silent
    ]
    annotations = annotations_of(alert, settings)
    for step, active in case.active.items():
        expected = {
            "exp_labels": {"severity": alert.severity, "service": alert.service, **active.labels},
            "exp_annotations": {**annotations, "description": active.description},
        }
        rules.append(
            {"eval_time": f"{step * case.minutes}m", "alertname": case.alert, "exp_alerts": [expected]}
        )
    return {
        "name": f"{case.alert}: {case.kind}: {case.what}",
        "interval": f"{case.minutes}m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": rules,
    }


def _failures(output: str, names: Sequence[str]) -> dict[str, str]:
    """Split what promtool prints into its parts, one for each file."""
    parts = dict(
        re.findall(
            r"^Processing test file: ([^\n]+?)\.test\.yml\n(.*?)(?=^Processing|\Z)", output, re.M | re.S
        )
    )
    assert list(parts) == list(names), output
    return {name: said for name, said in parts.items() if "SUCCESS" not in said}
