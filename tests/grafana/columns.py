"""The fields that the queries of a panel return, by which overrides, links and axes name them."""

from __future__ import annotations

import re
from typing import Final

import sqlglot

from grafana.boards.common.colors import ERROR_TYPES, REFUSALS, STAGES, STATUSES
from grafana.parts.expansion import Moment, expand
from tests.grafana.dashboards import ALL, Json

SERIES: Final = frozenset({*STAGES, *STATUSES, *ERROR_TYPES, *REFUSALS})
"""Names of series that are values of a column, and have a colour."""
LABEL: Final = re.compile(r"\{\{(\w+)\}\}")


def fields(panel: Json) -> set[str]:
    """Return the names of all fields of a panel."""
    return {name for target in panel["targets"] for name in of_target(target)}


def of_target(target: Json) -> set[str]:
    """Return the names of the fields of a query: the series, if it has them, else the columns."""
    if "rawSql" in target:
        selected = of_sql(target["rawSql"])
        return {*selected, *_series(target["rawSql"])} if "metric" in selected else set(selected)
    if target.get("instant"):
        return {"Time", "Value", *grouped(target["expr"]), target["legendFormat"]}
    return {target["legendFormat"], *(SERIES if LABEL.search(target["legendFormat"]) else ())}


def of_sql(text: str) -> list[str]:
    """Return the columns of a query in SQL."""
    query = sqlglot.parse_one(expand(text, Moment.last(7, ALL)), dialect="postgres")
    return list(query.named_selects)  # type: ignore[attr-defined]


def grouped(expression: str) -> set[str]:
    """Return the labels by which an expression in PromQL is grouped."""
    return {
        label.strip() for found in re.findall(r"by \(([^)]*)\)", expression) for label in found.split(",")
    }


def _series(text: str) -> set[str]:
    """Return the names of series that may come from a column ``metric``."""
    literals = set(re.findall(r"'([^']+)'", text))
    suffixed = {f"{name} (lower bound)" for name in SERIES} if "' (lower bound)'" in text else set()
    return {*SERIES, *literals, *suffixed}
