"""The dashboards as Grafana reads them, taken apart for the checks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from grafana.parts.expansion import VARIABLE

Json = dict[str, Any]
FOLDER: Final = Path(__file__).parents[2] / "grafana" / "dashboards"
ALL: Final = {"segment": "all", "batch_size": "all", "user": "all", "model": "all", "analysis": ""}
"""What is chosen if a reader chooses nothing."""
BUILT_IN: Final = re.compile(r"__\w+")
"""Names of Grafana's own variables."""


@dataclass(frozen=True)
class Target:
    """A query of a panel."""

    uid: str
    panel: Json
    query: Json

    @property
    def name(self) -> str:
        """Return a name for messages."""
        return f"{self.uid}: {self.panel['title']} {self.query['refId']}"

    @property
    def sql(self) -> str:
        return str(self.query.get("rawSql", ""))

    @property
    def expression(self) -> str:
        return str(self.query.get("expr", ""))


@cache
def dashboards() -> dict[str, Json]:
    """Return all dashboards by file name, as they are written; their builders take seconds to import."""
    return {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def each_dashboard() -> list[Json]:
    return list(dashboards().values())


def panels() -> Iterator[tuple[str, Json]]:
    """Yield all panels, with the uid of their dashboard."""
    for dashboard in each_dashboard():
        yield from ((dashboard["uid"], panel) for panel in dashboard["panels"])


def targets() -> list[Target]:
    return [Target(uid, panel, query) for uid, panel in panels() for query in panel["targets"]]


def sql_targets() -> list[Target]:
    return [target for target in targets() if target.sql]


def variables(dashboard: Json) -> dict[str, Json]:
    return {each["name"]: each for each in dashboard["templating"]["list"]}


def has_filters(dashboard: Json) -> bool:
    """Return whether it is one of those that have the filters of the plan."""
    return "segment" in variables(dashboard)


def used_variables(value: Any) -> set[str]:
    """Return the variables in all texts of a part of a dashboard, without Grafana's own."""
    names: set[str] = set()
    for text in texts(value):
        names |= {found[1] or found[3] or found[4] for found in VARIABLE.finditer(text)}
    return {name for name in names if not BUILT_IN.fullmatch(name)}


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts(each)


def references(value: Any) -> Iterator[Any]:
    """Yield every reference to a data source."""
    if isinstance(value, list):
        for each in value:
            yield from references(each)
    elif isinstance(value, dict):
        if "datasource" in value:
            yield value["datasource"]
        for each in value.values():
            yield from references(each)
