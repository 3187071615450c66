"""The unit of a panel is that of its query: a rate of seconds is a number, a rate of things is one a time."""

from __future__ import annotations

import re
from typing import Final

from exporters.alert_rules.groups import groups
from exporters.catalogue.usage import names
from telemetry import conventions as c
from telemetry.conventions.vocabulary import ATTEMPT_STATUSES
from telemetry.settings import Settings
from tests.grafana.dashboards import Target, targets

UNITS: Final = {name: metric.unit for metric in c.METRICS for name in names(metric)}
RECORDED: Final = {recording.name for group in groups(Settings()) for recording in group.recordings}
NUMBERS: Final = {"short", "suffix:unknown"}
SHOWN: Final = {
    ("s", ""): {"s"},
    ("s", "a second"): NUMBERS,
    ("USD", ""): {"currencyUSD"},
    ("1", ""): {"percentunit"},
    ("things", ""): NUMBERS,
    ("things", "a second"): {"cps", "reqps"},
    ("things", "a minute"): {"cpm", "reqpm"},
}
"""Units of Grafana by what a query returns: a unit, and whether it is a rate."""


def measured(name: str) -> str:
    """Return what a series measures."""
    if name in RECORDED:
        return "1" if ":ratio_" in name else "s" if ":mean_" in name else "things"
    unit = UNITS.get(name, "s" if "_seconds" in name else "{thing}")
    return "USD" if unit == "{USD}" else "things" if unit.startswith("{") else unit


def returned(expression: str) -> tuple[str, str]:
    """Return what a query returns."""
    unit = measured(re.findall(r"([a-zA-Z_:][\w:]*)\{", expression)[0])
    if " / " in expression:
        return "1", ""
    if "rate(" not in expression or "histogram_quantile" in expression:
        return unit, ""
    return unit, "a minute" if expression.startswith("60 * ") else "a second"


def shown(target: Target) -> str:
    """Return the unit in which a panel shows a query."""
    config = target.panel["fieldConfig"]
    for rule in config["overrides"]:
        for each in rule["properties"]:
            if rule["matcher"]["options"] == target.query["legendFormat"] and each["id"] == "unit":
                return str(each["value"])
    return str(config["defaults"]["unit"])


def test_units_are_those_of_the_queries() -> None:
    """Of every query of Prometheus."""
    for target in targets():
        if target.expression:
            assert shown(target) in SHOWN[returned(target.expression)], (target.name, shown(target))


def test_failures_are_not_green() -> None:
    """Grafana's own colours begin with green: charts of what failed have colours of their own."""
    bad = re.compile(r"fail|refus|error|unaccounted|coerced|status!=")
    charts = {target.name: target for target in targets() if target.panel["type"] == "timeseries"}
    found = {name: each.panel for name, each in charts.items() if bad.search(rates(each.expression))}
    assert len(found) > 10
    for name, panel in found.items():
        config = panel["fieldConfig"]
        colors = {
            rule["matcher"]["options"]: each["value"]["fixedColor"]
            for rule in config["overrides"]
            for each in rule["properties"]
            if each["id"] == "color"
        }
        if "by (status)" in str(panel["targets"]):
            assert colors.keys() == {*ATTEMPT_STATUSES} - {"200"}, name
            assert not any("green" in color for color in colors.values()), name
        else:
            assert (config["defaults"]["color"]["mode"], colors) == ("shades", {}), name
            assert config["defaults"]["color"]["fixedColor"] == "red", name


def rates(expression: str) -> str:
    """Return the series of which a query shows the rate."""
    return "" if "histogram_quantile" in expression else " ".join(re.findall(r"rate\(([^[]+)", expression))
