"""Write docs/reference/alerts.md and prometheus/rules from the rules; `make docs` runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from exporters.alert_rules.alert import Alert
from exporters.alert_rules.files import duration, write
from exporters.alert_rules.groups import groups
from telemetry.settings import PREFIX, Settings

ROOT: Final = Path(__file__).parents[1]
RULES: Final = ROOT / "prometheus" / "rules"
PAGE: Final = ROOT / "docs" / "reference" / "alerts.md"
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


def _row(alert: Alert) -> str:
    after = duration(alert.for_seconds) if alert.for_seconds else "at once"
    names = ", ".join(f"`{PREFIX}{name.upper()}`" for name in alert.settings) or "–"
    runbook = f"[`{alert.name}`](../runbooks/{alert.name}.md)"
    return f"| {runbook} | {alert.severity} | {alert.summary} | {after} | {names} |"


if __name__ == "__main__":
    write(Settings(), RULES)
    PAGE.write_text(page(), encoding="utf-8")
