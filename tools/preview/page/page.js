// Draws one dashboard of `data.js`: its grid, and each panel by its kind.
import { barchart, timeseries } from './courses.js';
import { isEmpty, prepared, theme as themed } from './grafana.js';
import { heatmap, piechart, xychart } from './others.js';
import { stat, table } from './texts.js';

const KINDS = { barchart, heatmap, piechart, stat, table, timeseries, xychart };
const [COLUMNS, ROW, GAP] = [24, 30, 8];

/** Draw a dashboard, by its uid, in a mode: `light` or `dark`. */
async function show(uid, mode) {
  const found = window.PREVIEW.find((each) => each.dashboard.uid === uid) ?? window.PREVIEW[0];
  const theme = themed(mode);
  paint(theme);
  head(found, mode);
  const grid = document.getElementById('grid');
  grid.replaceChildren();
  const { panels } = found.dashboard;
  const rows = Math.max(...panels.map(({ gridPos: { y, h } }) => y + h));
  grid.style.height = `${rows * (ROW + GAP) - GAP}px`;
  for (const panel of panels) {
    const body = place(grid, panel);
    const data = await prepared(panel, found.frames[panel.id], theme);
    const isSingle = panel.type === 'stat';
    if (!isSingle && isEmpty(data)) empty(body, panel.fieldConfig.defaults.noValue);
    else KINDS[panel.type](body, panel, data, { theme, period: found.period });
  }
  document.body.dataset.drawn = `${found.dashboard.uid} ${mode}`;
}

/** Add the frame of a panel to the grid, and return where to draw. */
function place(grid, panel) {
  const { x, y, w, h } = panel.gridPos;
  const unit = (grid.clientWidth + GAP) / COLUMNS;
  const element = document.createElement('section');
  element.className = 'panel';
  element.dataset.id = panel.id;
  element.style.cssText = `left: ${x * unit}px; top: ${y * (ROW + GAP)}px; width: ${w * unit - GAP}px; height: ${h * (ROW + GAP) - GAP}px`;
  const title = document.createElement('h2');
  title.textContent = panel.title;
  title.title = panel.description;
  title.insertAdjacentHTML('beforeend', '<i>i</i>');
  const body = document.createElement('div');
  body.className = 'body';
  element.append(title, body);
  grid.append(element);
  return body;
}

function empty(body, sentence) {
  const element = document.createElement('div');
  element.className = 'empty';
  element.textContent = sentence;
  body.append(element);
}

/** Write what is above the panels: title, filters, period, and the other dashboards. */
function head({ dashboard, period }, mode) {
  const shown = dashboard.templating.list.filter((each) => each.hide !== 2 && each.type !== 'datasource');
  const values = shown.map((each) => [each.label, each.current?.text || each.query || 'latest']);
  const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeZone: 'UTC' });
  const days = Math.round((period.to - period.from) / 86_400_000);
  const element = document.getElementById('head');
  element.innerHTML = '<nav></nav><h1></h1><span class="preview">Preview: drawn without Grafana</span><p></p><div class="variables"></div>';
  for (const { dashboard: other } of window.PREVIEW) {
    const link = document.createElement('a');
    link.href = `?mode=${mode}#${other.uid}`;
    link.textContent = other.title;
    if (other === dashboard) link.className = 'shown';
    element.querySelector('nav').append(link);
  }
  element.querySelector('h1').textContent = dashboard.title;
  element.querySelector('p').textContent = dashboard.description;
  const filters = element.querySelector('.variables');
  for (const [label, value] of values) filters.append(filter(label, value));
  const last = filter(`Last ${days} days`, `to ${day.format(period.to)}, UTC`);
  last.className = 'period';
  filters.append(last);
}

function filter(label, value) {
  const element = document.createElement('span');
  element.innerHTML = '<b></b><i></i>';
  element.firstChild.textContent = label;
  element.lastChild.textContent = value;
  return element;
}

function paint({ colors }) {
  const names = {
    ...{ canvas: colors.background.canvas, primary: colors.background.primary, border: colors.border.medium },
    ...{ 'secondary-background': colors.background.secondary, weak: colors.border.weak, text: colors.text.primary },
    ...{ secondary: colors.text.secondary, link: colors.text.link, warning: colors.warning.text },
  };
  for (const [name, value] of Object.entries(names)) document.documentElement.style.setProperty(`--${name}`, value);
}

const draw = async () => {
  await Promise.all(['400', '500'].map((weight) => document.fonts.load(`${weight} 14px Inter`)));
  await show(location.hash.slice(1), new URLSearchParams(location.search).get('mode') ?? 'light');
};
window.addEventListener('hashchange', draw);
draw();
