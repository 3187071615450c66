"""What recordings store is what their names say."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from exporters.alert_rules.alerts.failures import WINDOWS, jobs_name, share_name
from exporters.alert_rules.alerts.stages import BEFORE, BEFORE_A_DOCUMENT, RECENT, RECENT_A_DOCUMENT
from exporters.alert_rules.files import files
from telemetry.settings import Settings
from tests.alert_rules.case import JOB
from tests.alert_rules.cases.failures import runs
from tests.alert_rules.cases.stages import documents, stage
from tests.alert_rules.collected import GROUPS
from tests.tools import program

MINUTES = {"5m": 5, "30m": 30, "1h": 60, "2h": 120, "6h": 360, "1d": 1440, "3d": 4320}
STEP = 2
"""Minutes; five of them must have two values."""
STEPS = 4400 // STEP


def expected() -> dict[str, tuple[str, float]]:
    """Return labels and value by name, where each two minutes three jobs succeed, and one fails."""
    values: dict[str, tuple[str, float]] = {}
    for window in WINDOWS:
        values[jobs_name(window)] = (f'{{job="{JOB}"}}', 4 * MINUTES[window] / STEP)
        values[share_name(window)] = (f'{{job="{JOB}"}}', 0.25)
    labels = f'{{job="{JOB}", stage="ranking"}}'
    # The 720 values of a day are 719 steps apart, the last 75 of which are longer.
    mean = (644 * 5 + 75 * 7) / 719
    # In each step the stage is executed twice, for four documents that do not fail.
    a_document = {RECENT_A_DOCUMENT: (labels, 3.5), BEFORE_A_DOCUMENT: (labels, mean / 2)}
    return values | {RECENT: (labels, 7), BEFORE: (labels, mean)} | a_document


def test_recordings(tmp_path: Path) -> None:
    """Numbers of jobs, shares of failed ones, and mean durations, of which the last hours are longer."""
    assert expected().keys() == {recording.name for group in GROUPS for recording in group.recordings}
    names = ("failures.yml", "stages.yml")
    for name in names:
        (tmp_path / name).write_text(files(Settings())[name])
    series = (
        runs((STEPS, 1, 3))
        | stage((STEPS - 75, 2, 5), (75, 2, 7))
        | documents((STEPS, 4))
        | documents((STEPS, 9), outcome="failed")
    )
    test = {
        "interval": f"{STEP}m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": name,
                "eval_time": f"{STEPS * STEP}m",
                "exp_samples": [{"labels": name + labels, "value": value}],
            }
            for name, (labels, value) in expected().items()
        ],
    }
    content = {"rule_files": names, "evaluation_interval": "22m", "fuzzy_compare": True, "tests": [test]}
    (tmp_path / "test.yml").write_text(json.dumps(content))
    done = subprocess.run(
        [program("promtool"), "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
