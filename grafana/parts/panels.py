"""What every panel has: a title, an owner, a question, a unit, and a sentence for when there is nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from grafana_foundation_sdk.builders import dashboard as sdk
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from .links import Link
from .queries import AnyQuery, Query

NOTHING: Final = "Nothing in this period with these filters."
DOLLARS: Final = "currencyUSD"
COUNT: Final = "short"
SHARE: Final = "percentunit"
SECONDS: Final = "s"
BYTES: Final = "decbytes"


class Owner(StrEnum):
    """Who answers the question of a panel, and acts on the answer."""

    ADMINS = "admins"
    ON_CALL = "on-call"
    DEVELOPERS = "app developers"


@dataclass(frozen=True, slots=True)
class Column:
    """How one field of a panel is shown, if not as all others."""

    unit: str = ""
    decimals: int | None = None
    color: str = ""
    """A fixed colour, by name."""
    limits: Mapping[float, str] | None = None
    """Colours by the value from which they apply; the first one applies below all others, too."""
    paint: bool = False
    """Whether the background of a cell has the colour of the limits."""
    links: tuple[Link, ...] = ()
    texts: Mapping[str, str] | None = None
    """What is shown instead of a value."""
    on_right: bool = False
    """Whether it has an axis of its own, on the right."""
    line: bool = False
    """Whether it is a line in a panel of bars."""
    hidden: bool = False
    blank: bool = False
    """Whether it is the gap before the bar that is stacked on it."""
    width: int | None = None


Columns = Mapping[str, Column]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a panel is for."""

    title: str
    question: str
    owner: Owner = Owner.ADMINS
    empty: str = NOTHING
    """Why there may be nothing to see."""

    def description(self) -> str:
        """Return what the reader sees beside the title."""
        return f"{self.question} Owner: {self.owner}."


def panel(
    kind: str,
    about: About,
    queries: Sequence[AnyQuery],
    *,
    unit: str,
    options: object,
    custom: object = None,
    decimals: int | None = None,
    limits: Mapping[float, str] | None = None,
    columns: Columns | None = None,
) -> sdk.Panel:
    """Return a panel of any kind; the modules of kinds call it."""
    built = (
        sdk.Panel()
        .type(kind)
        .title(about.title)
        .description(about.description())
        .datasource(queries[0].source.ref())
        .unit(unit)
        .no_value(about.empty)
        .options(options)
        .thresholds(thresholds(limits or {0: "text"}))
    )
    for place, query in enumerate(queries):
        built.with_target(query.named(chr(ord("A") + place)))
    if decimals is not None:
        built.decimals(decimals)
    if custom is not None:
        built.custom(custom)
    mode = models.FieldColorModeId.THRESHOLDS if limits else models.FieldColorModeId.PALETTE_CLASSIC
    built.color_scheme(sdk.FieldColor().mode(mode))
    for name, column in (columns or {}).items():
        built.override_by_name(name, _properties(column))
    return built


def thresholds(limits: Mapping[float, str]) -> sdk.ThresholdsConfig:
    """Return limits as Grafana has them: the first one has no lower end."""
    steps = [
        models.Threshold(value=None if place == 0 else float(value), color=color)
        for place, (value, color) in enumerate(sorted(limits.items()))
    ]
    return sdk.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def texts(values: Mapping[str, str]) -> list[models.ValueMap]:
    """Return texts that replace values."""
    return [
        models.ValueMap(
            {
                value: models.ValueMappingResult(text=text, index=place)
                for place, (value, text) in enumerate(values.items())
            }
        )
    ]


def _properties(column: Column) -> list[models.DynamicConfigValue]:
    found: dict[str, object] = {}
    if column.unit:
        found["unit"] = column.unit
    if column.decimals is not None:
        found["decimals"] = column.decimals
    if column.color:
        found["color"] = {"mode": "fixed", "fixedColor": column.color}
    if column.limits:
        found["thresholds"] = thresholds(column.limits).build()
        found["color"] = {"mode": "thresholds"}
    if column.paint:
        found["custom.cellOptions"] = {"type": "color-background", "mode": "basic"}
    if column.links:
        found["links"] = list(column.links)
    if column.texts:
        found["mappings"] = texts(column.texts)
    if column.on_right:
        found["custom.axisPlacement"] = common.AxisPlacement.RIGHT
    if column.line:
        found |= {
            "custom.drawStyle": common.GraphDrawStyle.LINE,
            "custom.fillOpacity": 0,
            "custom.lineWidth": 2,
            "custom.stacking": {"mode": "none"},
        }
    if column.hidden:
        found["custom.hideFrom"] = {"legend": True, "tooltip": True, "viz": True}
        found["custom.hidden"] = True
    if column.blank:
        found["color"] = {"mode": "fixed", "fixedColor": "transparent"}
        found["custom.hideFrom"] = {"legend": True, "tooltip": False, "viz": False}
    if column.width is not None:
        found["custom.width"] = column.width
    return [models.DynamicConfigValue(id_val=name, value=value) for name, value in found.items()]


def sql(text: str) -> list[Query]:
    """Return a query whose result is a table."""
    return [Query(text)]


def over_time(text: str) -> list[Query]:
    """Return a query whose first column is the time."""
    return [Query(text, "time_series")]
