"""An error in any threshold, comparison or time of an alert is revealed by its cases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.alert_rules.collected import trials
from tests.alert_rules.mutation import mutants
from tests.alert_rules.promtool import Trial, alerts_in, failed


@pytest.mark.whole_matrix("it examines the cases, which change with the alerts")
def test_cases_reveal_every_error(tmp_path: Path) -> None:
    """With half or double a number, another comparison or another time, a case fails."""
    wrong_trials: dict[str, Trial] = {}
    meanings: dict[str, str] = {}
    for name, trial in trials().items():
        if name == "Watchdog":  # it has neither
            continue
        wrong = {f"{name}-{number}": each for number, each in enumerate(mutants(trial.alert))}
        meanings |= {number: f"{name}: {meaning}" for number, (meaning, _) in wrong.items()}
        variants = [replace(mutant, name=number) for number, (_, mutant) in wrong.items()]
        wrong_trials[name] = replace(trial, variants=variants)
    revealed = {number for said in failed(wrong_trials, tmp_path).values() for number in alerts_in(said)}

    assert len(meanings) > 300
    assert sorted(meanings[number] for number in meanings.keys() - revealed) == []
