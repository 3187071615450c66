"""The variables of dashboards: data sources, filters, the application."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as sdk
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    VariableHide,
    VariableModel,
    VariableOption,
    VariableRefresh,
)

from exporters.assets.host_values import HostValue
from exporters.export.selection import BATCH_SIZES, SEGMENTS
from telemetry import conventions as c

from .names import check
from .queries import PROMETHEUS, SOURCES, SQL, Source

_LABELS: Final = {
    "all": "All",
    "new": "New (under 30 days)",
    "active": "Active (a run in 30 days)",
    "power": "Power (10 jobs and more)",
    "small": "Small (1–50)",
    "medium": "Medium (51–150)",
    "large": "Large (151+)",
}
_OF_USERS: Final = "Calls outside any run have no user: only All counts them."
_OF_CANDIDATES: Final = (
    "Runs without candidates, such as intake, later work and calls outside any run, have no size: "
    "only All counts them."
)
_USERS: Final = """
SELECT 'all' AS __value, 'All' AS __text
UNION ALL (
  SELECT CAST(user_ref AS text), 'User ' || user_ref FROM telemetry_user_segments
  ORDER BY jobs DESC, user_ref LIMIT 500)"""
_MODELS: Final = """
SELECT 'all' AS __value, 'All' AS __text
UNION ALL (SELECT DISTINCT model, model FROM telemetry_stages WHERE model <> '' ORDER BY 1)"""


def variables() -> dict[str, Builder[VariableModel]]:
    """Return all variables by name, in the order in which they are shown."""
    return {
        **{source.variable: _source(source) for source in SOURCES},
        "segment": _choice("segment", "User segment", SEGMENTS, _OF_USERS),
        "batch_size": _choice("batch_size", "Batch size", BATCH_SIZES, _OF_CANDIDATES),
        "user": _query("user", "User", _USERS),
        "model": _query("model", "Model", _MODELS),
        "analysis": sdk.TextBoxVariable("analysis")
        .label("Analysis")
        .description("Id of the analysis, as the application counts; empty: the latest.")
        .default_value(""),
        "job": _job(),
        "app_url": sdk.ConstantVariable("app_url")
        .label("Address of the application")
        .value(f"{HostValue('app_url')}"),
    }


def _source(source: Source) -> Builder[VariableModel]:
    uid = f"{source.uid}"
    return (
        sdk.DatasourceVariable(source.variable)
        .label(source.label)
        .type(source.plugin)
        .current(VariableOption(text=uid, value=uid, selected=True))
        .hide(VariableHide.HIDE_VARIABLE)
    )


def _choice(name: str, label: str, values: tuple[str, ...], description: str) -> Builder[VariableModel]:
    labels = ", ".join(f"{_LABELS[value]} : {value}" for value in values)
    options = [
        VariableOption(text=_LABELS[value], value=value, selected=value == values[0]) for value in values
    ]
    return (
        sdk.CustomVariable(name)
        .label(label)
        .description(description)
        .values(labels)
        .options(options)
        .current(options[0])
        .multi(False)
        .include_all(False)
        .allow_custom_value(False)
    )


def _query(name: str, label: str, query: str) -> Builder[VariableModel]:
    check(query)
    return (
        sdk.QueryVariable(name)
        .label(label)
        .datasource(SQL.ref())
        .query(query.strip())
        .current(VariableOption(text="All", value="all", selected=True))
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        .multi(False)
        .include_all(False)
        .allow_custom_value(False)
    )


def _job() -> Builder[VariableModel]:
    name = f"{HostValue('job')}"
    query = f"label_values({c.INTERNAL_ERRORS.prometheus_name}, job)"
    return (
        sdk.QueryVariable("job")
        .label("Application")
        .datasource(PROMETHEUS.ref())
        .query({"qryType": 1, "query": query, "refId": "A"})
        .current(VariableOption(text=name, value=name, selected=True))
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        .multi(False)
        .include_all(False)
    )
