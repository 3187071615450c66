"""An error in any threshold, comparison or time of an alert is revealed by its cases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.alert_rules.collected import GROUPS, trials
from tests.alert_rules.mutation import mutants
from tests.alert_rules.promtool import failed
from tests.choice import first_of

NAMES = [group.name for group in GROUPS]


@pytest.mark.parametrize("name", first_of(NAMES, "the alerts of other groups are built of the same parts"))
def test_cases_reveal_every_error(name: str, tmp_path: Path) -> None:
    """With half or double a number, another comparison or another time, a case fails."""
    all_trials, meanings = {}, {}
    for group, alert, cases in trials().values():
        if group.name != name or alert.name == "Watchdog":
            continue
        for number, (meaning, mutant) in enumerate(mutants(alert)):
            trial = f"{alert.name}-{number}"
            all_trials[trial] = (replace(group, alerts=(mutant,)), alert, cases)
            meanings[trial] = f"{alert.name}: {meaning}"
    survivors = all_trials.keys() - failed(all_trials, tmp_path).keys()

    assert sorted(meanings[trial] for trial in survivors) == []
