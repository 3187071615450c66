"""The kinds of panels of names and numbers: figures, words, shares, bars, spans, tables and matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from grafana_foundation_sdk.builders import dashboard as sdk
from grafana_foundation_sdk.models import (
    barchart,
    common,
    piechart,
    stat,
)
from grafana_foundation_sdk.models import dashboard as models

from .panels import About, Column, Columns, panel
from .queries import AnyQuery

_LAST: Final = common.ReduceDataOptions(values=False, calcs=["lastNotNull"], fields="")
_ROWS: Final = common.ReduceDataOptions(values=True, limit=25, calcs=["lastNotNull"], fields="")
BELOW: Final = common.VizLegendOptions(
    display_mode=common.LegendDisplayMode.LIST,
    placement=common.LegendPlacement.BOTTOM,
    show_legend=True,
    calcs=[],
)
ALL_VALUES: Final = common.VizTooltipOptions(
    mode=common.TooltipDisplayMode.MULTI, sort=common.SortOrder.DESCENDING
)

_TABLE: Final = {"cellHeight": common.TableCellHeight.SM, "frameIndex": 0, "showHeader": True}
"""As Grafana 13 has it; the model of the SDK still has the footer of older versions."""
_NARROW: Final = {"minWidth": 80}
"""Columns get narrower before those on the right are out of sight; Grafana's default is 150 pixels."""
_NOTHING: Final = models.DynamicConfigValue(id_val="noValue", value="–")
"""What a cell without a value shows; otherwise it would be the sentence of the whole table."""
NEUTRAL: Final[Mapping[float, str]] = {0: "blue", 1e18: "blue"}
"""Colours of a figure that is neither good nor bad."""


def figures(
    about: About,
    queries: Sequence[AnyQuery],
    *,
    unit: str,
    limits: Mapping[float, str] = NEUTRAL,
    decimals: int | None = None,
    columns: Columns | None = None,
) -> sdk.Panel:
    """Return numbers: each numeric column of the only row, or each series, is one."""
    options = stat.Options(
        graph_mode=common.BigValueGraphMode.NONE,
        color_mode=common.BigValueColorMode.VALUE,
        text_mode=common.BigValueTextMode.AUTO,
        reduce_options=_LAST,
        orientation=common.VizOrientation.AUTO,
    )
    return panel(
        "stat", about, queries, unit=unit, options=options, limits=limits, decimals=decimals, columns=columns
    )


def words(about: About, queries: Sequence[AnyQuery], *, columns: Columns | None = None) -> sdk.Panel:
    """Return text: each column of the only row."""
    options = stat.Options(
        graph_mode=common.BigValueGraphMode.NONE,
        color_mode=common.BigValueColorMode.NONE,
        text_mode=common.BigValueTextMode.VALUE,
        reduce_options=common.ReduceDataOptions(values=False, calcs=["lastNotNull"], fields="/.*/"),
        text=common.VizTextDisplayOptions(value_size=16),
    )
    return panel("stat", about, queries, unit="none", options=options, limits=NEUTRAL, columns=columns)


def shares(
    about: About, queries: Sequence[AnyQuery], *, unit: str, columns: Columns | None = None
) -> sdk.Panel:
    """Return a ring; each row of the result, at most eight, is a slice: its name and its value."""
    legend = piechart.PieChartLegendOptions(
        values=[piechart.PieChartLegendValues.VALUE, piechart.PieChartLegendValues.PERCENT],
        display_mode=common.LegendDisplayMode.TABLE,
        placement=common.LegendPlacement.RIGHT,
        show_legend=True,
        calcs=[],
    )
    options = piechart.Options(
        pie_type=piechart.PieChartType.DONUT,
        reduce_options=_ROWS,
        legend=legend,
        tooltip=ALL_VALUES,
        display_labels=[],
    )
    return panel("piechart", about, queries, unit=unit, options=options, columns=columns)


def bars(
    about: About,
    queries: Sequence[AnyQuery],
    *,
    unit: str,
    across: str,
    horizontal: bool = False,
    stacked: bool = False,
    columns: Columns | None = None,
) -> sdk.Panel:
    """Return bars; ``across`` is the column of their names."""
    options = barchart.Options(
        x_field=across,
        orientation=common.VizOrientation.HORIZONTAL if horizontal else common.VizOrientation.VERTICAL,
        # The number of a gap says nothing.
        show_value=common.VisibilityMode.NEVER if stacked else common.VisibilityMode.AUTO,
        stacking=common.StackingMode.NORMAL if stacked else common.StackingMode.NONE,
        legend=BELOW,
        tooltip=ALL_VALUES,
    )
    custom = barchart.FieldConfig(line_width=1, fill_opacity=80, axis_soft_min=0)
    return panel("barchart", about, queries, unit=unit, options=options, custom=custom, columns=columns)


def spans(
    about: About,
    queries: Sequence[AnyQuery],
    *,
    unit: str,
    across: str,
    before: str,
) -> sdk.Panel:
    """Return bars that begin after ``before``, one below the other; other columns are their lengths.

    A timeline of Grafana would need the period of the dashboard to be that of what it shows.
    """
    columns = {before: Column(blank=True)}
    built = bars(about, queries, unit=unit, across=across, horizontal=True, stacked=True, columns=columns)
    return built.color_scheme(sdk.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color("blue"))


def rows(
    about: About, queries: Sequence[AnyQuery], *, unit: str = "short", columns: Columns | None = None
) -> sdk.Panel:
    """Return a table; the limits of a column colour its texts."""
    tinted = {
        name: replace(column, tint=bool(column.limits) and not column.paint)
        for name, column in (columns or {}).items()
    }
    built = panel("table", about, queries, unit=unit, options=_TABLE, custom=_NARROW, columns=tinted)
    return built.override_by_regexp("/.*/", [_NOTHING])


def matrix(
    about: About,
    queries: Sequence[AnyQuery],
    *,
    unit: str,
    down: str,
    across: str,
    value: str,
    limits: Mapping[float, str],
) -> sdk.Panel:
    """Return a table of two dimensions with coloured cells, from a result of three columns.

    The result must be in the order of ``across``: then the columns are.
    """
    built = panel(
        "table",
        about,
        queries,
        unit=unit,
        options=_TABLE,
        custom={**_NARROW, "cellOptions": {"type": "color-background", "mode": "basic"}},
        limits=limits,
        decimals=1,
    )
    pivot = {"columnField": across, "rowField": down, "valueField": value, "emptyValue": "null"}
    sort = {"sort": [{"field": f"{down}\\{across}", "desc": False}]}
    built.with_transformation(models.DataTransformerConfig(id_val="groupingToMatrix", options=pivot))
    built.with_transformation(models.DataTransformerConfig(id_val="sortBy", options=sort))
    plain = {"custom.cellOptions": {"type": "auto"}, "custom.width": 150}
    head = [models.DynamicConfigValue(id_val=name, value=value) for name, value in plain.items()]
    return built.override_by_regexp("/.*/", [_NOTHING]).override_by_regexp(f"/{down}.*/", head)
