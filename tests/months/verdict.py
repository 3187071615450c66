"""Which alerts fired in the months, and whether they had to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exporters.alert_rules.alert import Alert, Group, Recording
from exporters.alert_rules.groups import groups
from tests.prometheus import Prometheus

from .backfilled import as_samples, backfill, evaluated, running
from .firing import firing
from .incidents import INCIDENTS
from .incidents.incident import Incident
from .metrics import lines
from .month import Month
from .normal import usual_months
from .scene import BEGIN, END, MINUTE, SETTINGS

SLOW: Final = 4 * MINUTE
"""How often the means of a day or more are recorded, instead of each minute."""
GROUPS: Final = groups(SETTINGS)
ALWAYS: Final = "Watchdog"


@dataclass(frozen=True)
class Fired:
    """An alert that fired."""

    alert: str
    labels: str
    begin: int
    end: int


@dataclass(frozen=True)
class Verdict:
    """What fired, against what had to."""

    seed: int
    fired: Sequence[Fired]
    incidents: Sequence[Incident]

    @property
    def false(self) -> list[Fired]:
        """What fired though no incident has it, or longer than its incident explains."""
        return [one for one in self.fired if not any(_explains(incident, one) for incident in self.incidents)]

    @property
    def missed(self) -> list[tuple[Incident, str]]:
        """The alerts of incidents that did not fire."""
        return [
            (incident, alert)
            for incident in self.incidents
            for alert in incident.alerts
            if not self.of(incident, alert)
        ]

    def of(self, incident: Incident, alert: str) -> list[Fired]:
        """Return how an alert fired because of an incident."""
        return [one for one in self.fired if one.alert == alert and _explains(incident, one)]

    @property
    def precision(self) -> float:
        """Share of what fired that had to."""
        return 1 - len(self.false) / len(self.fired) if self.fired else 1.0

    @property
    def recall(self) -> float:
        """Share of what had to fire that did."""
        number = sum(len(incident.alerts) for incident in self.incidents)
        return 1 - len(self.missed) / number if number else 1.0


def _explains(incident: Incident, fired: Fired) -> bool:
    known = {*incident.alerts, *incident.may}
    return fired.alert in known and incident.begin <= fired.begin and fired.end <= incident.until


def verdict(seed: int, incidents: Sequence[Incident] = INCIDENTS) -> Verdict:
    """Let the months happen, with incidents, and judge the alerts."""
    month = usual_months(seed)
    for incident in incidents:
        incident.happen(month)
    with tempfile.TemporaryDirectory(prefix="months-") as name:
        folder = Path(name)
        store(month, folder)
        with running(folder) as prometheus:
            fired = sorted(alerts_fired(prometheus), key=lambda one: one.begin)
    return Verdict(seed, fired, incidents)


def store(month: Month, folder: Path, rules: Sequence[Group] = GROUPS, since: int = BEGIN) -> None:
    """Store the metrics of months as blocks of Prometheus, and what rules record of them."""
    backfill("metrics", lines(month, folder, since), folder)
    for level in _levels(rules):
        with running(folder) as prometheus:
            recorded = [sample for recording in level for sample in _record(prometheus, recording)]
        backfill("recorded", recorded, folder)


def _levels(rules: Sequence[Group]) -> Iterator[list[Recording]]:
    """Yield the recordings, those that others need first."""
    waiting = [recording for group in rules for recording in group.recordings]
    while waiting:
        names = [recording.name for recording in waiting]
        level = [one for one in waiting if not any(name in one.expression for name in names)]
        yield level
        waiting = [one for one in waiting if one not in level]


def _record(prometheus: Prometheus, recording: Recording) -> Iterator[str]:
    step = SLOW if recording.name.endswith(("1d", "3d")) else MINUTE
    yield from as_samples(recording.name, evaluated(prometheus, recording.expression, step))


def alerts_fired(prometheus: Prometheus, rules: Sequence[Group] = GROUPS) -> Iterator[Fired]:
    """Yield which alerts fired when."""
    for group in rules:
        for alert in group.alerts:
            if alert.name != ALWAYS:
                yield from _of(prometheus, alert)


def _of(prometheus: Prometheus, alert: Alert) -> Iterator[Fired]:
    for labels, points in evaluated(prometheus, alert.expression).items():
        for begin, end in firing(alert, [at for at, _ in points], MINUTE, END):
            yield Fired(alert.name, labels, begin, end)
