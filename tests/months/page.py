"""The page about the months, docs/reference/months.md: what happened, and which alerts it raised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .incidents.incident import Incident
from .scene import FIRST, LAST, MINUTE, local
from .verdict import Fired, Verdict

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "months.md"
SEED: Final = 1
"""The months that the page is about."""
HEAD: Final = """# Two months of alerts

For on-call and for whoever changes a rule: what the [alert rules](alerts.md) make of two simulated months.

They last from {first} to {last}, in Berlin. The history generator of the example makes the jobs: 40 on
weekdays and a handful at weekends, batches of every size, growth, single failed jobs, retries, a slow day.
There are deployments, restarts of every program, lost scrapes, the end of summer time, and a daily check.
Counters come from the product's own totals, gauges from its own queries on a database in which all of this
happens; a real Prometheus evaluates the rules on both.

Nothing but `Watchdog` fires on other days. Each incident raises the alerts below, and no other.
`python -m tests.months` prints this, with `--seed N` for other months, and writes this page with `--write`.
"""


def page(verdict: Verdict) -> str:
    """Return the page."""
    return "".join(f"{line}\n" for line in _lines(verdict))


def _lines(verdict: Verdict) -> Iterator[str]:
    yield from HEAD.format(first=FIRST, last=LAST).splitlines()
    yield ""
    yield f"Precision {verdict.precision:.0%}, recall {verdict.recall:.0%}: {summary(verdict)}."
    yield ""
    yield "| incident | alert | why | fired after |"
    yield "|---|---|---|---|"
    for incident in verdict.incidents:
        followed = {alert: why for alert, why in incident.may.items() if verdict.of(incident, alert)}
        alerts = {**incident.alerts, **followed}
        for number, alert in enumerate(alerts):
            when = f"**{local(incident.begin):%a %d %b %H:%M}** {incident.what}" if not number else ""
            name = f"[`{alert}`](../runbooks/{alert}.md)"
            why = alerts[alert] or "it is about that"
            yield f"| {when} | {name} | {why} | {after(incident, verdict.of(incident, alert))} |"


def summary(verdict: Verdict) -> str:
    """Return the numbers behind precision and recall."""
    due = sum(len(incident.alerts) for incident in verdict.incidents)
    return (
        f"{len(verdict.incidents)} incidents, {due - len(verdict.missed)} of {due} alerts of theirs, "
        f"{len(verdict.false)} others"
    )


def after(incident: Incident, fired: list[Fired]) -> str:
    """Return how long after the beginning of an incident an alert fired."""
    if not fired:
        return "never"
    minutes = (min(one.begin for one in fired) - incident.begin) // MINUTE
    days, rest = divmod(minutes, 24 * 60)
    parts = ((days, "d"), (rest // 60, "h"), (rest % 60, "min"))
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "at once"
