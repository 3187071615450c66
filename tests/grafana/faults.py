"""What is wrong with a dashboard, of what can be seen without data: the rules that a mutation must break."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from grafana_foundation_sdk.models import units

from exporters.alert_rules.alerts.collector import SIGNALS
from exporters.alert_rules.groups import groups
from exporters.catalogue.usage import names
from grafana.parts.expansion import BadQuery
from grafana.parts.names import check
from grafana.parts.queries import SOURCES
from telemetry import conventions as c
from telemetry.settings import Settings
from tests.grafana.columns import LABEL, fields, grouped
from tests.grafana.dashboards import Json, references, texts, used_variables, variables

UNITS: Final = {
    value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("_")
}
OTHERS: Final = {
    "ALERTS": {"alertname", "alertstate", "severity", "service"},
    "up": {"job"},
    **{
        f"otelcol_{name}": {"job", "exporter"}
        for name in (
            *("exporter_queue_size", "exporter_queue_capacity"),
            *(f"receiver_refused_{signal}_total" for signal in SIGNALS),
            *(f"exporter_send_failed_{signal}_total" for signal in SIGNALS),
            *(f"exporter_enqueue_failed_{signal}_total" for signal in SIGNALS),
        )
    },
    "gen_ai_client_operation_duration_seconds_bucket": {"job", "le"},
    "gen_ai_client_operation_time_to_first_chunk_seconds_bucket": {"job", "le"},
}
"""Series of other programs, which the live tests read from them, with the labels that panels use."""
_RECORDED: Final = {recording.name: {"job"} for group in groups(Settings()) for recording in group.recordings}
_OURS: Final = {
    name: {*metric.labels, "job", "instance", "le"} for metric in c.METRICS for name in names(metric)
}
SERIES: Final = {**OTHERS, **_RECORDED, **_OURS}
"""All series that may be in a query, with their labels."""
_SELECTOR: Final = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
_NAME: Final = re.compile(r"\b(?!by\b|or\b|and\b|unless\b|vector\b)([a-zA-Z_][\w:]*)\b(?!\s*[({:])")


def faults(dashboard: Json, known: dict[str, Json]) -> list[str]:
    """Return what is wrong with a dashboard.

    Args:
        dashboard: the dashboard.
        known: all dashboards by uid.
    """
    own = variables(dashboard)
    found = [f"no such variable: {name}" for name in used_variables(dashboard["panels"]) - own.keys()]
    for panel in dashboard["panels"]:
        parts = (*_sources(panel, own), *_queries(panel), *_fields(panel), *_units(panel))
        links = _links(panel, own, known)
        found += [f"{panel['title']}: {fault}" for fault in (*parts, *links)]
    return found


def _sources(panel: Json, own: dict[str, Json]) -> Iterator[str]:
    kinds = {f"${{{source.variable}}}": source.plugin for source in SOURCES if source.variable in own}
    for reference in references(panel):
        if kinds.get(reference["uid"]) != reference["type"]:
            yield f"no such data source: {reference}"
    if any(target["datasource"] != panel["datasource"] for target in panel["targets"]):
        yield "a query goes to another data source"


def _queries(panel: Json) -> Iterator[str]:
    for target in panel["targets"]:
        if "rawSql" in target:
            yield from _sql(target)
        else:
            yield from _promql(target)


def _sql(target: Json) -> Iterator[str]:
    try:
        check(target["rawSql"])
    except BadQuery as error:
        yield str(error)


def _promql(target: Json) -> Iterator[str]:
    expression = target["expr"]
    used: set[str] = set()
    for name, matchers in _SELECTOR.findall(expression):
        if name not in SERIES:
            yield f"no such series: {name}"
        used |= SERIES.get(name, set())
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers):
            if label not in SERIES.get(name, {label}):
                yield f"{name} has no label {label}"
    for name in _NAME.findall(re.sub(r'\{[^}]*\}|\[[^]]*\]|by \([^)]*\)|"[^"]*"', "", expression)):
        if name not in SERIES:
            yield f"no such series: {name}"
        used |= SERIES.get(name, set())
    labels = grouped(expression)
    for label in labels - used:
        yield f"no series has the label {label}"
    if labels:
        for label in set(LABEL.findall(target["legendFormat"])) - labels:
            yield f"the result has no label {label}"


def _fields(panel: Json) -> Iterator[str]:
    """Yield fields that an override, an axis or a transformation names and no query returns."""
    there = fields(panel)
    for rule in panel["fieldConfig"]["overrides"]:
        matcher = rule["matcher"]
        if matcher["id"] == "byName":
            if matcher["options"] not in there:
                yield f"no field for the override of {matcher['options']}"
        elif not any(re.match(matcher["options"].strip("/"), name) for name in there):
            yield f"no field matches {matcher['options']}"
    options = panel["options"]
    named = [options.get("xField") or ""]
    for series in options.get("series", ()):
        named += [axis["matcher"]["options"] for axis in series.values() if "matcher" in axis]
    for step in panel.get("transformations", ()):
        named += [value for name, value in step["options"].items() if name.endswith("Field")]
        named += [part for sort in step["options"].get("sort", ()) for part in sort["field"].split("\\")]
    for name in named:
        if name and name not in there:
            yield f"no field {name}"


def _units(panel: Json) -> Iterator[str]:
    config = panel["fieldConfig"]
    properties = [each for rule in config["overrides"] for each in rule["properties"]]
    own = [config["defaults"]["unit"], *(each["value"] for each in properties if each["id"] == "unit")]
    for unit in own:
        if unit not in UNITS and not unit.startswith(("suffix:", "time:YYYY-MM-DD")):
            yield f"no such unit: {unit}"


def _links(panel: Json, own: dict[str, Json], known: dict[str, Json]) -> Iterator[str]:
    there = fields(panel)
    for text in texts(panel):
        for uid in re.findall(r"^/d/([^?/]+)", text):
            if uid in known:
                yield from _parameters(uid, text, own, variables(known[uid]))
            else:
                yield f"no such dashboard: {uid}"
        for name in re.findall(r"\$\{__data\.fields\.(\w+)\}", text):
            if name not in there:
                yield f"no field {name} for a link"


def _parameters(uid: str, url: str, own: dict[str, Json], its: dict[str, Json]) -> Iterator[str]:
    """Yield what a link to a dashboard names and is not there, and what it loses of a reader's choices."""
    kept = {
        f"{given}{named}" for given, named in re.findall(r"[?&](?:var-(\w+)=|\$\{(\w+):queryparam\})", url)
    }
    for name in kept - its.keys():
        yield f"{uid} has no variable {name}"
    for name in (_choices(own) & _choices(its)) - kept:
        yield f"the link to {uid} loses {name}"
    if "${__url_time_range}" not in url:
        yield f"the link to {uid} loses the period"


def _choices(own: dict[str, Json]) -> set[str]:
    """Return the variables whose values a reader chooses."""
    return {name for name, variable in own.items() if variable["type"] not in ("datasource", "constant")}
