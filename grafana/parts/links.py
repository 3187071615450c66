"""Links between dashboards, to traces, and to the exports of the application."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard as sdk
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import DashboardLink, DashboardLinkType

from exporters.alert_rules.dashboards import ONE_ANALYSIS, USERS
from exporters.assets.host_values import HostValue

from .queries import TRACES

FILTERS: Final = ("segment", "batch_size", "user", "model")
"""The variables by which a reader chooses jobs."""
CHOICES: Final = (*FILTERS, "job")
"""All that a reader chooses on a dashboard with filters: jobs, and the application of the metrics."""
TAG: Final = "analysis"
"""Every dashboard has it, and the list of dashboards shows those that have it."""
EXPORT: Final = (
    "${app_url}/admin/analytics/export/%s?from=${__from}&to=${__to}"
    "&segment=${segment}&batch_size=${batch_size}&user=${user}&model=${model:percentencode}"
)

Link = dict[str, object]
"""A link of a value, as JSON has it."""


def dashboards() -> Builder[DashboardLink]:
    """Return the list of all dashboards; it keeps the period and the filters."""
    return (
        sdk.DashboardLink("Dashboards")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )


def exports() -> list[Builder[DashboardLink]]:
    """Return the links to the chosen jobs as CSV and JSON."""
    return [
        sdk.DashboardLink(f"Export {form.upper()}")
        .type(DashboardLinkType.LINK)
        .icon("doc")
        .tooltip(f"The jobs of this period and these filters as {form.upper()}")
        .url(EXPORT % form)
        .target_blank(True)
        for form in ("csv", "json")
    ]


def trace(field: str = "Trace") -> Link:
    """Return the link from a trace id in a column to its trace."""
    query = {
        "refId": "A",
        "query": f"${{__data.fields.{field}}}",
        "datasource": {"type": TRACES.plugin, "uid": f"${{{TRACES.variable}}}"},
    }
    pane = {
        "trace": {
            "datasource": f"${{{TRACES.variable}}}",
            "queries": [query],
            "range": {"from": "${__from}", "to": "${__to}"},
        }
    }
    panes = _quoted(json.dumps(pane, separators=(",", ":"), ensure_ascii=False))
    return {"title": "Open the trace", "url": f"/explore?schemaVersion=1&panes={panes}", "targetBlank": True}


def _quoted(text: str) -> str:
    """Return a text for a URL; variables in it stay as they are for Grafana to replace, and so do marks."""
    with_variables = re.sub(r"%24%7B([\w.]+)%7D", r"${\1}", quote(text, safe=""))
    return re.sub(r"%E2%9F%A6(\w+)%E2%9F%A7", r"⟦\1⟧", with_variables)


def one_analysis(field: str = "Analysis") -> Link:
    """Return the link from the id of an analysis in a column to its dashboard, with the application."""
    return _of_value("Open this analysis", ONE_ANALYSIS, "analysis", field, *_kept(["job"]))


def user(field: str = "User") -> Link:
    """Return the link from the id of a user in a column to what this user does, with the other choices."""
    return _of_value(
        "What this user does", USERS, "user", field, *_kept(name for name in CHOICES if name != "user")
    )


def runbook() -> Link:
    """Return the link from the name of an alert to its runbook: the one that the alert itself has."""
    url = f"{HostValue('runbooks_url')}/${{__value.raw}}.md"
    return {"title": f"Runbook: {url}", "url": url, "targetBlank": True}


def leading_to(panel: sdk.Panel, uid: str, title: str) -> sdk.Panel:
    """Return a panel with a link to another dashboard, which keeps the period and all choices."""
    link = sdk.DashboardLink(title).type(DashboardLinkType.LINK).url(_address(uid, *_kept(CHOICES)))
    return panel.links([link])


def _of_value(title: str, uid: str, variable: str, field: str, *kept: str) -> Link:
    """Return the link from a value to a dashboard that shows what the value names."""
    url = _address(uid, f"var-{variable}=${{__data.fields.{field}}}", *kept)
    return {"title": title, "url": url, "targetBlank": False}


def _kept(names: Iterable[str]) -> Iterator[str]:
    """Yield the parameters of a URL that keep the values of variables."""
    return (f"${{{name}:queryparam}}" for name in names)


def _address(uid: str, *parameters: str) -> str:
    """Return the address of a dashboard, with the period of now."""
    return f"/d/{uid}?{'&'.join(('${__url_time_range}', *parameters))}"
