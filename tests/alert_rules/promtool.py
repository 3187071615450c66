"""Run cases with promtool, all in one call."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from exporters.alert_rules.alert import Alert, Group, Recording
from exporters.alert_rules.files import annotations_of, text
from telemetry.settings import Settings
from tests.alert_rules.case import Active, Case
from tests.tools import program


@dataclass(frozen=True)
class Trial:
    """An alert, or variants of it with names of their own, of which all must do what the cases say."""

    alert: Alert
    """What its labels and annotations ought to be."""
    cases: Sequence[Case]
    recordings: Sequence[Recording]
    """Those of its group, some of which it may use."""
    variants: Sequence[Alert] = ()

    @property
    def group(self) -> Group:
        """The rules, with the recordings that the alert and these recordings use."""
        needed: list[Recording] = []
        for recording in reversed(self.recordings):  # they use earlier ones
            expressions = [self.alert.expression, *(user.expression for user in needed)]
            if any(recording.name in expression for expression in expressions):
                needed.insert(0, recording)
        return Group("trial", 60, tuple(self.variants or (self.alert,)), tuple(needed))


def failed(trials: Mapping[str, Trial], directory: Path) -> dict[str, str]:
    """Return what promtool says of each trial that fails, by its name.

    Args:
        trials: all of them, by name.
        directory: an empty directory.
    """
    settings, names = Settings(), []
    for name, trial in trials.items():
        (directory / f"{name}.rules.yml").write_text(text(trial.group, settings))
        minutes = {case.minutes for case in trial.cases}
        assert len(minutes) == 1, f"the cases of {trial.alert.name} have steps of different length"
        content = {
            "rule_files": [f"{name}.rules.yml"],
            "evaluation_interval": f"{minutes.pop()}m",
            "fuzzy_compare": True,
            "tests": [_test(case, trial, settings) for case in trial.cases],
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


def alerts_in(said: str) -> set[str]:
    """Return the names of the alerts of which promtool says that they failed."""
    return set(re.findall(r"alertname: (\S+), time: ", said))


def _test(case: Case, trial: Trial, settings: Settings) -> dict[str, object]:
    expected: dict[int, Active | None] = {**dict.fromkeys(case.silent), **case.active}
    return {
        "name": f"{case.alert}: {case.kind}: {case.what}",
        "interval": f"{case.minutes}m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{step * case.minutes}m",
                "alertname": variant.name,
                "exp_alerts": [_expected(replace(trial.alert, name=variant.name), active, settings)]
                if active
                else [],
            }
            for variant in trial.group.alerts
            for step, active in expected.items()
        ],
    }


def _expected(alert: Alert, active: Active, settings: Settings) -> dict[str, object]:
    return {
        "exp_labels": {"severity": alert.severity, "service": alert.service, **active.labels},
        "exp_annotations": {**annotations_of(alert, settings), "description": active.description},
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
