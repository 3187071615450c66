"""Alerts are pending, fire and resolve here as in Prometheus."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from exporters.alert_rules.alert import Alert
from tests.months.firing import firing
from tests.tools import program

STEPS = 60
WAITS = ((0, 0), (2, 0), (0, 3), (2, 3), (5, 5), (1, 10))
"""Minutes of `for` and `keep_firing_for`."""


def alert(wait: int, keep: int) -> Alert:
    return Alert(
        name=f"Waits{wait}Keeps{keep}",
        severity="info",
        expression="signal > 0",
        summary="",
        description="",
        dashboard="",
        service="",
        for_seconds=wait * 60,
        at_once="" if wait else "it does not wait.",
        keep_seconds=keep * 60,
    )


def signal(seed: int) -> list[int]:
    """Return whether the expression holds in each minute, in periods of different lengths."""
    chance, values = Random(seed), list[int]()
    while len(values) < STEPS:
        values += [chance.randint(0, 1)] * chance.choice((1, 1, 2, 3, 6, 12))
    return values[:STEPS]


def fires(alert: Alert, values: Sequence[int]) -> list[bool]:
    """Return what :func:`firing` says of each minute."""
    held = [60 * step for step, value in enumerate(values) if value]
    periods = firing(alert, held, 60, STEPS * 60)
    return [any(begin <= 60 * step <= end for begin, end in periods) for step in range(STEPS)]


@pytest.mark.parametrize("seed", range(4))
def test_alerts_fire_as_in_prometheus(tmp_path: Path, seed: int) -> None:
    """Minute by minute, for every combination of the two times."""
    alerts = [alert(wait, keep) for wait, keep in WAITS]
    rules = [
        {
            "alert": one.name,
            "expr": one.expression,
            "for": f"{one.for_seconds}s",
            "keep_firing_for": f"{one.keep_seconds}s",
        }
        for one in alerts
    ]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "signals", "rules": rules}]}))
    values = signal(seed)
    expected = [
        {"eval_time": f"{step}m", "alertname": one.name, "exp_alerts": [{}] if is_firing else []}
        for one in alerts
        for step, is_firing in enumerate(fires(one, values))
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": "signal", "values": " ".join(map(str, values))}],
        "alert_rule_test": expected,
    }
    content = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yml").write_text(json.dumps(content))
    done = subprocess.run(
        [program("promtool"), "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
