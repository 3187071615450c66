// Rings, heatmaps and scatters.
import * as colors from 'd3-scale-chromatic';

import { axis, chart } from './charts.js';
import { displayed, formattedValueToString, getFieldDisplayName, series } from './grafana.js';

/** Draw a ring, with a table of its slices. */
export function piechart(body, panel, data, { theme }) {
  const slices = displayed(panel, data, theme).filter((each) => each.display.numeric > 0);
  const sum = slices.reduce((total, each) => total + each.display.numeric, 0);
  const place = document.createElement('div');
  place.className = 'pie';
  body.append(place);
  const ring = { type: 'pie', radius: panel.options.pieType === 'donut' ? ['48%', '90%'] : '90%', label: { show: false } };
  const values = slices.map(({ display }) => ({ name: display.title, value: display.numeric, itemStyle: { color: display.color } }));
  place.append(slicesTable(slices, sum));
  chart(place, { series: [{ ...ring, data: values }] }, theme);
}

function slicesTable(slices, sum) {
  const table = document.createElement('table');
  table.innerHTML = '<tr><th></th><th class="number">Value</th><th class="number">Percent</th></tr>';
  for (const { display } of slices) {
    const row = table.insertRow();
    const name = row.insertCell();
    const mark = document.createElement('span');
    mark.className = 'mark';
    mark.style.background = display.color;
    name.append(mark, display.title);
    for (const text of [formattedValueToString(display), `${Math.round((display.numeric / sum) * 100)}%`]) {
      const cell = row.insertCell();
      cell.className = 'number';
      cell.textContent = text;
    }
  }
  return table;
}

/** Draw cells by time and name. */
export function heatmap(body, panel, data, { theme }) {
  const all = series(data, theme).sort((one, other) => Number(one.name) - Number(other.name));
  const times = all[0].times;
  const { color, filterValues, yAxis } = panel.options;
  const cells = all.flatMap((each, row) => each.values.map((value, column) => [column, row, value]));
  const shown = cells.filter(([, , value]) => value !== null && !(value <= (filterValues?.le ?? -Infinity)));
  const scheme = colors[`interpolate${color.scheme}`];
  const steps = [0, 0.25, 0.5, 0.75, 1].map((share) => scheme(theme.isDark !== Boolean(color.reverse) ? 1 - share : share));
  const day = new Intl.DateTimeFormat('en-US', { month: '2-digit', day: '2-digit', timeZone: 'UTC' });
  const options = {
    grid: { left: 4, right: 12, top: 10, bottom: 40, outerBoundsMode: 'same' },
    xAxis: axis(theme, { type: 'category', data: times.map((time) => day.format(time)), splitLine: { show: false } }),
    yAxis: axis(theme, { type: 'category', data: all.map((each) => each.name), inverse: Boolean(yAxis.reverse), splitLine: { show: false } }),
    visualMap: {
      show: panel.options.legend.show,
      ...{ orient: 'horizontal', left: 0, bottom: 0, itemWidth: 12, itemHeight: 160, precision: 0 },
      ...{ min: 0, max: Math.max(1, ...shown.map(([, , value]) => value)), inRange: { color: steps } },
      text: [all[0].text(Math.max(1, ...shown.map(([, , value]) => value))), '0'],
      textStyle: { color: theme.colors.text.secondary },
    },
    series: [{ type: 'heatmap', data: shown, itemStyle: { borderColor: theme.colors.background.primary, borderWidth: 1 } }],
  };
  chart(body, options, theme);
}

/** Draw points. */
export function xychart(body, panel, data, { theme }) {
  const [frame] = data;
  const [wanted] = panel.options.series;
  const found = (matcher) => matcher && frame.fields.find((field) => getFieldDisplayName(field, frame, data) === matcher.matcher.options);
  const [x, y, color] = [wanted.x, wanted.y, wanted.color].map(found);
  const [{ color: own }] = series([{ ...frame, fields: [y] }], theme);
  const label = (field) => ({ formatter: (value) => formattedValueToString(field.display(value)) });
  const title = { nameLocation: 'middle', nameGap: 8 };
  const custom = y.config.custom ?? {};
  const points = x.values.map((value, place) => ({
    value: [value, y.values[place]],
    itemStyle: { color: color ? color.display(color.values[place]).color : own },
  }));
  const options = {
    xAxis: axis(theme, { type: 'value', name: getFieldDisplayName(x, frame, data), axisLabel: label(x), ...title }),
    yAxis: axis(theme, { type: 'value', name: getFieldDisplayName(y, frame, data), axisLabel: label(y), ...title }),
    series: [
      { type: 'scatter', data: points, symbolSize: custom.pointSize?.fixed ?? 5, itemStyle: { opacity: (custom.fillOpacity ?? 50) / 100 } },
    ],
  };
  chart(body, options, theme);
}

