"""The kinds of panels with numeric axes: courses over time, heatmaps and scatters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from grafana_foundation_sdk.builders import dashboard as sdk
from grafana_foundation_sdk.models import common, heatmap, timeseries, xychart

from .kinds import ALL_VALUES, BELOW
from .panels import About, Column, Columns, panel, thresholds
from .queries import AnyQuery


def course(
    about: About,
    queries: Sequence[AnyQuery],
    *,
    unit: str,
    bars: bool = False,
    stacked: bool = False,
    decimals: int | None = None,
    limits: Mapping[float, str] | None = None,
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
    options = timeseries.Options(legend=BELOW, tooltip=ALL_VALUES)
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
    """Return points: two columns of the result, and perhaps a third one as their colour.

    A point has the links of all columns, which Grafana takes from ``y`` alone.
    """
    columns = dict(columns or {})
    links = tuple(link for column in columns.values() for link in column.links)
    columns[y] = replace(columns.get(y, Column()), links=links)
    series = xychart.XYSeriesConfig(
        x=xychart.XychartXYSeriesConfigX(matcher=_field(x)),
        y=xychart.XychartXYSeriesConfigY(matcher=_field(y)),
    )
    if color:
        series.color = xychart.XychartXYSeriesConfigColor(matcher=_field(color))
    options = xychart.Options(
        mapping=xychart.SeriesMapping.MANUAL,
        series=[series],
        legend=BELOW,
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
