"""Write docs/reference/alerts.md and prometheus/rules from the rules; `make docs` runs it.

What became of each alert in the live proof is in docs/live-proof.json, which `make e2e` writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from exporters.alert_rules.alert import Alert
from exporters.alert_rules.files import duration, files
from exporters.alert_rules.groups import groups
from telemetry.settings import PREFIX, Settings

ROOT: Final = Path(__file__).parents[1]
RULES: Final = ROOT / "prometheus" / "rules"
PAGE: Final = ROOT / "docs" / "reference" / "alerts.md"
PROOF: Final = ROOT / "docs" / "live-proof.json"
LIVE: Final = """
## Seen live

`make e2e` starts the example application with PostgreSQL, the Collector, Prometheus, Alertmanager and Jaeger,
provokes each alert, and sees it arrive at a webhook by way of Alertmanager, and its end after the cure. While
it fires, the queries and commands of its runbook must work. These are the rules of `flask telemetry assets`,
but time was compressed: every duration in rules and routes was divided by {factor}, though windows are at
least ten seconds long, and thresholds that ask for many jobs were lowered. In brackets is what the seconds
stand for, which is too long where a program takes its own time, such as for an export. {provoked} of {alerts}
alerts were provoked.

| alert | provoked how | fired after | cured how | resolved after |
|---|---|---|---|---|
"""
HEAD: Final = """# Alerts

For on-call: every alert, when it is raised, and the settings that its thresholds come from.

`critical`: someone must act now. `warning`: someone must look. `info`: worth knowing. Each alert leads to its
runbook. The rules are in `prometheus/rules/`, with the default settings; [Alerts](../how-to/alerts.md) tells
how to load and change them. `make docs` writes this page from `exporters/alert_rules/`.
"""


def page() -> str:
    """Return the page: a table for each group of rules."""
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield from HEAD.splitlines()
    for group in groups(Settings()):
        yield from ("", f"## `{group.name}.yml`", "")
        yield "| alert | severity | what | after | settings |"
        yield "|---|---|---|---|---|"
        yield from map(_row, group.alerts)
    yield from _live(json.loads(PROOF.read_text(encoding="utf-8")))


def _live(proof: Mapping[str, Any]) -> Iterator[str]:
    """Return the table of the live proof, in the order of the rules."""
    provoked, factor = proof["provoked"], proof["factor"]
    names = [alert.name for group in groups(Settings()) for alert in group.alerts]
    yield from LIVE.format(factor=factor, provoked=len(provoked), alerts=len(names)).splitlines()
    for name in names:
        if name in provoked:
            one = provoked[name]
            fired, resolved = (_both(one[key], factor) for key in ("fired_after", "resolved_after"))
            yield f"| `{name}` | {one['how']} | {fired} | {one['cure']} | {resolved} |"
    for name, reason in proof["not_provoked"].items():
        yield f"| `{name}` | not provoked: {reason} | | | |"


def _both(seconds: int, factor: int) -> str:
    """Return a time as it was, and what it stands for, which is about minutes at best."""
    return f"{seconds} s ({round(seconds * factor / 60)} min)"


def _row(alert: Alert) -> str:
    after = duration(alert.for_seconds) if alert.for_seconds else "at once"
    names = ", ".join(f"`{PREFIX}{name.upper()}`" for name in alert.settings) or "–"
    runbook = f"[`{alert.name}`](../runbooks/{alert.name}.md)"
    return f"| {runbook} | {alert.severity} | {alert.summary} | {after} | {names} |"


if __name__ == "__main__":
    for name, content in files(Settings()).items():
        (RULES / name).write_text(content, encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
