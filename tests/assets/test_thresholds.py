"""Panels and alerts agree: a colour begins where the alert on the same metric does, with any settings."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from exporters.alert_rules.groups import groups
from exporters.assets.contents import dashboards
from telemetry import conventions as c
from telemetry.settings import Settings
from tests.grafana.dashboards import Json

HOST: Final = Settings(
    alert_job="shop/hiring",
    budget_month_usd=1250.5,
    budget_day_usd=70,
    budget_warning_share=0.9,
    rate_limited_jobs=8,
    interrupted_jobs=3,
    failed_jobs_objective=0.02,
    headroom_share=0.2,
    spool_age_seconds=900,
    health_log_seconds=180_000,
    collector_queue_share=0.6,
    gauges_seconds=120,
)
COMPARED: Final = {
    *(("analysis-overview", "Budget used this month"), ("analysis-cost", "This month against the budget")),
    *(("analysis-cost", "Budget left this month"), ("analysis-cost", "Spent today")),
    *(("analysis-rate-limits", "Rate-limited jobs today"), ("analysis-rate-limits", "Room left")),
    *(
        ("analysis-errors", "Interrupted today"),
        ("analysis-errors", "Share of failed jobs against the objective"),
    ),
    *(("analysis-telemetry", "In quarantine or shed"), ("analysis-telemetry", "Waiting for the database")),
    *(("analysis-telemetry", "Integrity"), ("analysis-telemetry", "Oldest snapshot in the spool")),
    *(("analysis-telemetry", "Queue of the Collector"), ("analysis-telemetry", "Scraped programs")),
    ("analysis-telemetry", "Gauges from SQL"),
}
"""The panels with colours and a metric that an alert is about."""
_SERIES: Final = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}|(\w+:[\w:]+)")
_COMPARISON: Final = re.compile(r"(==|[<>]=?) ([\d.]+)(?![\w.)]| \*)")
"""With a number; one in parentheses only keeps a divisor from being zero."""
_COUNTED: Final = {
    metric.prometheus_name for metric in c.METRICS if metric.unit.startswith("{") and metric.unit != "{USD}"
} | {"up"}
"""What is a whole number."""


class Threshold(NamedTuple):
    """Where an alert begins."""

    value: float
    is_above: bool
    """Whether it is raised above the value, or below."""


def series(expression: str) -> str:
    """Return the first series of an expression, with its labels but for the one that says whose it is."""
    found = _SERIES.search(expression)
    if not found:
        return ""
    labels = sorted(label for label in re.split(r", ?", found[2] or "") if not label.startswith("job="))
    return f"{found[1] or found[3]}{{{', '.join(labels)}}}"


def raised(settings: Settings) -> dict[str, set[Threshold]]:
    """Return where alerts begin, by the series that they look at."""
    thresholds: dict[str, set[Threshold]] = defaultdict(set)
    for group in groups(settings):
        for alert in group.alerts:
            end = 0
            for found in _COMPARISON.finditer(alert.expression):
                name, value = series(alert.expression[end : found.start()]), float(found[2])
                end = found.end()
                if found[1] in (">=", "<="):
                    continue  # a condition beside it, such as enough jobs
                if name.partition("{")[0] in _COUNTED and found[1] in (">", "=="):
                    value += 1  # more than 5 is 6
                thresholds[name].add(Threshold(value, found[1].startswith(">")))
    return thresholds


def colours(panel: Json, field: str) -> tuple[str, list[Json]]:
    """Return the limits of a field of a panel, and whose they are: "" if of all its fields."""
    for rule in panel["fieldConfig"]["overrides"]:
        for each in rule["properties"]:
            if rule["matcher"]["options"] == field and each["id"] == "thresholds":
                return field, each["value"]["steps"]
    return "", panel["fieldConfig"]["defaults"]["thresholds"]["steps"]


def as_shown(threshold: Threshold, expression: str) -> Threshold:
    """Return where the alert begins on the axis of a panel that divides the metric, or shows what is left."""
    value, is_above = threshold
    if divided := re.search(r" / ([\d.]+) and ", expression):
        return Threshold(round(value / float(divided[1]), 9), is_above)
    if left := re.match(r"([\d.]+) - ", expression):
        return Threshold(round(float(left[1]) - value, 9), not is_above)
    return Threshold(round(value, 9), is_above)


def compared(settings: Settings) -> Iterator[tuple[str, Json, list[Json], set[Threshold]]]:
    """Yield each panel with limits, the limits, and where the alerts on the same metrics begin."""
    alerts = raised(settings)
    for board in map(json.loads, dashboards(settings).values()):
        for panel in board["panels"]:
            found: dict[str, tuple[list[Json], set[Threshold]]] = {}
            for target in panel["targets"]:
                expression = target.get("expr", "")
                place, steps = colours(panel, target.get("legendFormat", ""))
                thresholds = {as_shown(each, expression) for each in alerts.get(series(expression), ())}
                if thresholds and len({step["color"] for step in steps}) > 1:
                    found.setdefault(place, (steps, set()))[1].update(thresholds)
            for steps, thresholds in found.values():
                yield board["uid"], panel, steps, thresholds


@pytest.mark.parametrize("settings", [Settings(), HOST], ids=["default", "host"])
def test_colours_begin_where_alerts_do(settings: Settings) -> None:
    """At each threshold of an alert, unless the text names it, and nowhere else; harmless is harmless."""
    seen = set()
    for uid, panel, steps, thresholds in compared(settings):
        title, harmless = (uid, panel["title"]), {"green", "text"}
        seen.add(title)
        said = {each.value for each in thresholds if f"{each.value:.1%}" in panel["description"]}
        limits = {round(step["value"], 9) for step in steps[1:]}
        assert limits <= {each.value for each in thresholds} <= limits | said, (title, limits, thresholds)
        (is_above,) = {each.is_above for each in thresholds}
        colors = [step["color"] for step in (steps if is_above else reversed(steps))]
        assert colors[0] in harmless and not harmless & {*colors[1:]}, (title, colors)
    assert seen == COMPARED


def test_a_text_names_the_threshold_of_the_host() -> None:
    """Where a panel has no colour for it."""
    host = Settings(override_factor=2.5, interrupted_jobs=3, rate_limited_jobs=8)
    text = " ".join(
        panel["description"]
        for board in map(json.loads, dashboards(host).values())
        for panel in board["panels"]
    )
    assert "more than 2.5 times that of 30 days" in text
    assert "More than 3 raise an alert." in text and "More than 8 raise an alert." in text
