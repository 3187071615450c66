"""The kinds of panels: figures, courses over time, shares, bars, tables, matrices, heatmaps and scatters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as sdk
from grafana_foundation_sdk.models import (
    barchart,
    common,
    heatmap,
    piechart,
    stat,
    timeseries,
    xychart,
)
from grafana_foundation_sdk.models import dashboard as models

from .panels import About, Columns, Limits, panel, thresholds
from .queries import AnyQuery

_LAST: Final = common.ReduceDataOptions(values=False, calcs=["lastNotNull"], fields="")
_ROWS: Final = common.ReduceDataOptions(values=True, limit=25, calcs=["lastNotNull"], fields="")
_BELOW: Final = common.VizLegendOptions(
    display_mode=common.LegendDisplayMode.LIST,
    placement=common.LegendPlacement.BOTTOM,
    show_legend=True,
    calcs=[],
)
_ALL_VALUES: Final = common.VizTooltipOptions(
    mode=common.TooltipDisplayMode.MULTI, sort=common.SortOrder.DESCENDING
)

_TABLE: Final = {"cellHeight": common.TableCellHeight.SM, "frameIndex": 0, "showHeader": True}
"""As Grafana 13 has it; the model of the SDK still has the footer of older versions."""
NEUTRAL: Final[Limits] = {0: "blue", 1e18: "blue"}
"""Colours of a figure that is neither good nor bad."""


def figures(
    about: About,
    queries: Sequence[AnyQuery],
    *,
    unit: str,
    limits: Limits = NEUTRAL,
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


def course(
    about: About,
    queries: Sequence[AnyQuery],
    *,
    unit: str,
    bars: bool = False,
    stacked: bool = False,
    decimals: int | None = None,
    limits: Limits | None = None,
    columns: Columns | None = None,
) -> sdk.Panel:
    """Return lines, or bars, over time."""
    mode = common.StackingMode.NORMAL if stacked else common.StackingMode.NONE
    custom = common.GraphFieldConfig(
        draw_style=common.GraphDrawStyle.BARS if bars else common.GraphDrawStyle.LINE,
        fill_opacity=80 if bars else 10,
        line_width=1 if bars else 2,
        show_points=common.VisibilityMode.AUTO,
        span_nulls=False,
        stacking=common.StackingConfig(mode=mode, group="A"),
        axis_soft_min=0,
    )
    if limits:
        custom.thresholds_style = common.GraphThresholdsStyleConfig(mode=common.GraphThresholdsStyleMode.LINE)
    options = timeseries.Options(legend=_BELOW, tooltip=_ALL_VALUES)
    built = panel(
        "timeseries",
        about,
        queries,
        unit=unit,
        options=options,
        custom=custom,
        decimals=decimals,
        columns=columns,
    )
    if limits:
        built.thresholds(thresholds(limits))
    return built.interval("1d") if bars else built


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
        tooltip=_ALL_VALUES,
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
    columns: Columns | None = None,
) -> sdk.Panel:
    """Return bars; ``across`` is the column of their names."""
    options = barchart.Options(
        x_field=across,
        orientation=common.VizOrientation.HORIZONTAL if horizontal else common.VizOrientation.VERTICAL,
        show_value=common.VisibilityMode.AUTO,
        stacking=common.StackingMode.NONE,
        legend=_BELOW,
        tooltip=_ALL_VALUES,
    )
    custom = barchart.FieldConfig(line_width=1, fill_opacity=80, axis_soft_min=0)
    return panel("barchart", about, queries, unit=unit, options=options, custom=custom, columns=columns)


def rows(
    about: About, queries: Sequence[AnyQuery], *, unit: str = "short", columns: Columns | None = None
) -> sdk.Panel:
    """Return a table."""
    return panel("table", about, queries, unit=unit, options=_TABLE, columns=columns)


def matrix(
    about: About,
    queries: Sequence[AnyQuery],
    *,
    unit: str,
    down: str,
    across: str,
    value: str,
    limits: Limits,
) -> sdk.Panel:
    """Return a table of two dimensions with coloured cells, from a result of three columns."""
    built = panel(
        "table",
        about,
        queries,
        unit=unit,
        options=_TABLE,
        custom={"cellOptions": {"type": "color-background", "mode": "basic"}},
        limits=limits,
        decimals=1,
    )
    pivot = {"columnField": across, "rowField": down, "valueField": value, "emptyValue": "null"}
    built.with_transformation(models.DataTransformerConfig(id_val="groupingToMatrix", options=pivot))
    plain = models.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "auto"})
    return built.override_by_regexp(f"/{down}.*/", [plain])


def heat(about: About, queries: Sequence[AnyQuery], *, unit: str) -> sdk.Panel:
    """Return coloured cells: time across, the name of the series down."""
    options = heatmap.Options(
        calculate=False,
        color=heatmap.HeatmapColorOptions(
            mode=heatmap.HeatmapColorMode.SCHEME, scheme="Oranges", fill="dark-orange", exponent=0.5, steps=64
        ),
        cell_values=heatmap.CellValues(unit=unit),
        rows_frame=heatmap.RowsHeatmapOptions(layout=common.HeatmapCellLayout.AUTO),
        y_axis=heatmap.YAxisConfig(axis_placement=common.AxisPlacement.LEFT, reverse=False),
        legend=heatmap.HeatmapLegend(show=True),
        tooltip=heatmap.HeatmapTooltip(mode=common.TooltipDisplayMode.SINGLE),
        filter_values=heatmap.FilterValueRange(le=1e-9),
        exemplars=heatmap.ExemplarConfig(color="rgba(255,0,255,0.7)"),
    )
    return panel("heatmap", about, queries, unit=unit, options=options)


def scatter(
    about: About,
    queries: Sequence[AnyQuery],
    *,
    unit: str,
    x: str,
    y: str,
    color: str = "",
    columns: Columns | None = None,
) -> sdk.Panel:
    """Return points: two columns of the result, and perhaps a third one as their colour."""
    series = xychart.XYSeriesConfig(
        x=xychart.XychartXYSeriesConfigX(matcher=_field(x)),
        y=xychart.XychartXYSeriesConfigY(matcher=_field(y)),
    )
    if color:
        series.color = xychart.XychartXYSeriesConfigColor(matcher=_field(color))
    options = xychart.Options(
        mapping=xychart.SeriesMapping.MANUAL,
        series=[series],
        legend=_BELOW,
        tooltip=common.VizTooltipOptions(mode=common.TooltipDisplayMode.SINGLE),
    )
    custom = xychart.FieldConfig(
        show=xychart.XYShowMode.POINTS,
        point_size=xychart.XychartFieldConfigPointSize(fixed=5),
        fill_opacity=50,
        axis_label="",
    )
    return panel("xychart", about, queries, unit=unit, options=options, custom=custom, columns=columns)


def _field(name: str) -> xychart.MatcherConfig:
    return xychart.MatcherConfig(id_val="byName", options=name)
