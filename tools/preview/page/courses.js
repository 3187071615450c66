// Lines and bars over time, and bars by name.
import { axis, chart, legend, timeAxis } from './charts.js';
import { FieldType, series } from './grafana.js';

/** Draw lines or bars over time. */
export function timeseries(body, panel, data, { theme, period }) {
  const all = series(data, theme);
  const axes = [];
  const places = all.map((each) => axisOf(each, axes));
  const options = {
    xAxis: timeAxis(theme, period),
    yAxis: axes.map((own) => valueAxis(theme, own, axes)),
    legend: legend(theme, listed(all)),
    series: all.map((each, number) => drawn(each, places[number])),
  };
  if (options.series.length) options.series[0].markLine = limits(panel, theme);
  chart(body, options, theme);
}

/** Return the names of a legend. */
const listed = (all) => all.filter((each) => !each.custom.hideFrom?.legend).map((each) => each.name);

/** Return the number of the axis of a series: as in Grafana, there is one for each unit on each side. */
function axisOf(each, axes) {
  const side = each.custom.axisPlacement === 'right' ? 'right' : 'left';
  const { unit } = each.field.config;
  const found = axes.findIndex((own) => own.side === side && own.unit === unit);
  return found < 0 ? axes.push({ side, unit, first: each }) - 1 : found;
}

function valueAxis(theme, own, axes) {
  const { side, first } = own;
  const before = axes.slice(0, axes.indexOf(own));
  const { decimals } = first.field.config;
  return axis(theme, {
    type: 'value',
    position: side,
    offset: 56 * before.filter((other) => other.side === side).length,
    minInterval: decimals === undefined || decimals === null ? undefined : 10 ** -decimals,
    splitLine: { show: !before.length, lineStyle: { color: theme.colors.border.weak } },
    min: (range) => Math.min(range.min, first.custom.axisSoftMin ?? range.min),
    axisLabel: { formatter: (value) => first.text(value) },
  });
}

function drawn(each, place) {
  const { custom } = each;
  const isBar = custom.drawStyle === 'bars';
  return {
    name: each.name,
    type: isBar ? 'bar' : 'line',
    yAxisIndex: place,
    data: each.values.map((value, at) => [each.times[at], value]),
    stack: custom.stacking?.mode === 'normal' ? custom.stacking.group : undefined,
    color: each.color,
    barMaxWidth: 60,
    itemStyle: isBar ? { opacity: (custom.fillOpacity ?? 0) / 100 } : {},
    lineStyle: { width: custom.lineWidth ?? 1 },
    areaStyle: !isBar && custom.fillOpacity ? { opacity: custom.fillOpacity / 100 } : undefined,
    showSymbol: each.values.filter((value) => value !== null).length < 60,
    symbolSize: 5,
    symbol: 'circle',
    connectNulls: Boolean(custom.spanNulls),
  };
}

/** Return lines at the limits of a panel, if it asks for them. */
function limits(panel, theme) {
  const { custom, thresholds } = panel.fieldConfig.defaults;
  if (!['line', 'line+area', 'dashed'].includes(custom?.thresholdsStyle?.mode)) return undefined;
  const steps = thresholds.steps.filter((step) => step.value !== null);
  return {
    silent: true,
    symbol: 'none',
    label: { show: false },
    data: steps.map((step) => ({
      yAxis: step.value,
      lineStyle: { type: 'solid', width: 2, opacity: 0.7, color: theme.visualization.getColorByName(step.color) },
    })),
  };
}

/** Draw bars, each with a name. */
export function barchart(body, panel, data, { theme }) {
  const [frame] = data;
  const names = frame.fields.find((field) => field.name === panel.options.xField) ?? frame.fields.find((field) => field.type === FieldType.string);
  const all = series(data, theme).filter((each) => each.field !== names);
  const across = panel.options.orientation === 'horizontal';
  const label = { interval: 0, hideOverlap: false };
  const category = axis(theme, { type: 'category', data: names.values, inverse: across, splitLine: { show: false }, axisLabel: label });
  const value = axis(theme, { type: 'value', axisLabel: { formatter: (number) => all[0].text(number) } });
  const options = {
    xAxis: across ? value : category,
    yAxis: across ? category : value,
    legend: legend(theme, listed(all)),
    series: all.map((each) => ({
      name: each.name,
      type: 'bar',
      data: [...each.values],
      color: each.color,
      stack: panel.options.stacking === 'normal' ? 'all' : undefined,
      barMaxWidth: 90,
      itemStyle: { opacity: 0.8 },
      label: {
        show: panel.options.showValue !== 'never' && names.values.length * all.length <= 24 && listed([each]).length,
        position: across ? 'right' : 'top',
        color: theme.colors.text.primary,
        formatter: ({ value: number }) => (number === null ? '' : each.text(number)),
      },
    })),
  };
  chart(body, options, theme);
}
