"""Put panels together to a dashboard, as the JSON that Grafana reads from a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as sdk
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync

from exporters.assets.contents import as_file
from exporters.assets.host_values import fill, marked
from telemetry.settings import Settings

from .expansion import VARIABLE, BadQuery
from .links import FILTERS, TAG, dashboards, exports
from .queries import PROMETHEUS, firing
from .variables import variables

DAYS: Final = (7, 30, 90, 365)
"""Periods to choose from, as on the old page."""
COLUMNS: Final = 24
"""Width of the grid."""
MOST_PANELS: Final = 16

Placed = sdk.Panel | tuple[int, sdk.Panel]
"""A panel, perhaps with its width."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side."""

    height: int
    panels: tuple[tuple[int, sdk.Panel], ...]


def row(height: int, *panels: Placed) -> Row:
    """Return panels side by side; those without a width share what is left.

    Raises:
        ValueError: if they do not fill the row.
    """
    fixed = sum(each[0] for each in panels if isinstance(each, tuple))
    free = sum(not isinstance(each, tuple) for each in panels)
    width = (COLUMNS - fixed) // free if free else 0
    placed = tuple(each if isinstance(each, tuple) else (width, each) for each in panels)
    if sum(width for width, _ in placed) != COLUMNS:
        raise ValueError(f"the widths of a row are {[width for width, _ in placed]}, which is not {COLUMNS}")
    return Row(height, placed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A dashboard."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    filters: tuple[str, ...] = FILTERS
    days: int = 30
    """The period that is shown first."""
    refresh: str = "5m"

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"{self.uid}.json"

    def json(self) -> str:
        """Return the dashboard as JSON, with the default settings; the same every time."""
        found = self.parts()
        fill(found, marked(found), Settings())
        return as_file(found)

    def parts(self) -> dict[str, Any]:
        """Return the dashboard as JSON has it, with marks where values of the host belong.

        Raises:
            ValueError: if it has too many panels, or a variable that does not exist.
        """
        builder = (
            sdk.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .readonly()
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .time(f"now-{self.days}d", "now")
            .timepicker(_periods())
            .timezone("utc")
            .week_start("monday")
            .refresh(self.refresh)
            .version(1)
            .link(dashboards())
        )
        if self.filters:
            for link in exports():
                builder.link(link)
        builder.annotation(_firing())
        self._add_panels(builder)
        self._add_variables(builder)
        return _parts(builder)

    def _add_panels(self, builder: sdk.Dashboard) -> None:
        number = 0
        for line in self.rows:
            for width, panel in line.panels:
                number += 1
                builder.with_panel(panel.id(number).height(line.height).span(width))
        if number > MOST_PANELS:
            raise ValueError(f"{self.uid} has {number} panels; the most that a reader sees is {MOST_PANELS}")

    def _add_variables(self, builder: sdk.Dashboard) -> None:
        """Add the filters, and every other variable that is used."""
        text = JSONEncoder(ensure_ascii=False).encode(builder.build())
        used = {found[1] or found[3] or found[4] for found in VARIABLE.finditer(text)}
        known = variables()
        if "job" in used:
            used.add(PROMETHEUS.variable)
        for name in used - known.keys():
            if not name.startswith("__"):
                raise BadQuery(f"{self.uid} uses the variable {name}, which does not exist")
        if self.filters:
            used.add("ds_sql")
        for name, variable in known.items():
            if name in used:
                builder.with_variable(variable)


def _parts(builder: sdk.Dashboard) -> dict[str, Any]:
    """Return what is in the JSON, without keys of the SDK that Grafana's own types do not know."""
    found: dict[str, Any] = json.loads(JSONEncoder().encode(builder.build()))
    for variable in found["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            variable.pop(name, None)
    shown = (found, *found["panels"])
    for link in (*found["annotations"]["list"], *(link for part in shown for link in part.get("links", ()))):
        link.pop("placement", None)  # the only one that there is hides it in a menu
    return found


def _periods() -> sdk.TimePicker:
    options = [
        sdk.TimeOption().display(f"Last {days} days").from_val(f"now-{days}d").to("now") for days in DAYS
    ]
    return sdk.TimePicker().quick_ranges(list(options)).refresh_intervals(["1m", "5m", "15m", "1h"])


def _firing() -> sdk.AnnotationQuery:
    """Return marks in all charts where an alert was firing."""
    return (
        sdk.AnnotationQuery()
        .name("Critical alerts")
        .datasource(PROMETHEUS.ref())
        .enable(True)
        .icon_color("red")
        .expr(firing("critical"))
        .title_format("{{alertname}}")
    )
