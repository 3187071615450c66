// What all charts have in common: axes, legend, the colours of the mode.
import { BarChart, HeatmapChart, LineChart, PieChart, ScatterChart } from 'echarts/charts';
import { GridComponent, LegendComponent, MarkLineComponent, VisualMapComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { CanvasRenderer } from 'echarts/renderers';

use([
  ...[BarChart, HeatmapChart, LineChart, PieChart, ScatterChart],
  ...[GridComponent, LegendComponent, MarkLineComponent, VisualMapComponent],
  CanvasRenderer,
]);

/** Draw a chart into a new element. */
export function chart(body, options, theme) {
  const element = document.createElement('div');
  element.className = 'chart';
  body.append(element);
  init(element).setOption({
    animation: false,
    textStyle: { color: theme.colors.text.primary, fontFamily: 'Inter, sans-serif' },
    grid: { left: 4, right: 12, top: 10, bottom: options.legend ? 28 : 4, outerBoundsMode: 'same' },
    ...options,
  });
}

/** Return an axis with Grafana's thin lines. */
export function axis(theme, options) {
  const line = { lineStyle: { color: theme.colors.border.weak } };
  return {
    axisLabel: { color: theme.colors.text.secondary, fontSize: 12, hideOverlap: true, ...options.axisLabel },
    axisLine: { show: false },
    axisTick: { show: false },
    nameTextStyle: { color: theme.colors.text.secondary, fontSize: 12 },
    splitLine: { show: true, ...line },
    ...Object.fromEntries(Object.entries(options).filter(([name]) => name !== 'axisLabel')),
  };
}

/** Return an axis of time over a period. */
export function timeAxis(theme, period) {
  const days = (period.to - period.from) / 86_400_000;
  const form = { month: '2-digit', day: '2-digit', timeZone: 'UTC', ...(days < 3 && { hour: '2-digit', minute: '2-digit' }) };
  const text = new Intl.DateTimeFormat('en-US', form);
  return axis(theme, {
    type: 'time',
    min: period.from,
    max: period.to,
    axisLabel: { formatter: (value) => text.format(value) },
  });
}

/** Return the legend below a chart. */
export const legend = (theme, names) => ({
  type: 'scroll',
  bottom: 0,
  left: 0,
  data: names,
  icon: 'roundRect',
  itemWidth: 14,
  itemHeight: 4,
  textStyle: { color: theme.colors.text.primary, fontSize: 12 },
});
