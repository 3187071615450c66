// Numbers, words and tables: what needs no chart.
import { FieldType, displayed, formattedValueToString, getFieldDisplayName, hidden } from './grafana.js';

const LARGEST = 56;

/** Draw single values, as large as there is room for. */
export function stat(body, panel, data, { theme }) {
  const values = displayed(panel, data, theme);
  const all = document.createElement('div');
  const isWide = body.clientWidth / values.length > 70;
  all.className = `stats${isWide ? '' : ' down'}${values.length > 1 ? ' many' : ''}`;
  body.append(all);
  const width = isWide ? body.clientWidth / values.length - 8 : body.clientWidth;
  const height = isWide ? body.clientHeight : body.clientHeight / values.length;
  const texts = values.map((each) => formattedValueToString(each.display));
  const isNamed = values.length > 1 && panel.options.textMode === 'auto';
  const sizes = texts.map((text) => fitting(text, width, height * (isNamed ? 0.5 : 0.7)));
  const size = panel.options.text?.valueSize ?? Math.min(...sizes);
  values.forEach((each, place) => all.append(single(each, texts[place], isNamed, size, panel, theme)));
}

function single(value, text, isNamed, size, panel, theme) {
  const element = document.createElement('div');
  element.className = 'stat';
  if (isNamed) {
    const name = document.createElement('small');
    name.textContent = value.display.title;
    name.style.fontSize = `${Math.min(15, Math.max(12, size * 0.45))}px`;
    element.append(name);
  }
  const number = document.createElement('b');
  number.textContent = text;
  number.style.fontSize = `${size}px`;
  number.style.color = panel.options.colorMode === 'value' ? value.display.color : theme.colors.text.primary;
  element.append(number);
  return element;
}

/** Return the size of a font in which a text fits; a sentence may break into lines. */
function fitting(text, width, height) {
  const context = document.createElement('canvas').getContext('2d');
  context.font = '500 100px Inter, sans-serif';
  const wide = (context.measureText(text).width || 1) / 100;
  const size = Math.min(width / wide, height, LARGEST);
  return text.includes(' ') && size < 16 ? 14 : Math.max(size, 10);
}

/** Draw a table; what is below its lower edge is reached by scrolling in Grafana, and cut here. */
export function table(body, panel, data) {
  const frame = data[panel.options.frameIndex ?? 0];
  const fields = frame.fields.filter((field) => !hidden(field));
  const element = document.createElement('table');
  element.style.width = `${widths(fields, body.clientWidth).reduce((sum, width) => sum + width, 0)}px`;
  body.append(element);
  const head = element.createTHead().insertRow();
  widths(fields, body.clientWidth).forEach((width, place) => {
    const cell = document.createElement('th');
    cell.textContent = getFieldDisplayName(fields[place], frame, data);
    cell.style.width = `${width}px`;
    if (fields[place].type === FieldType.number) cell.className = 'number';
    head.append(cell);
  });
  const rows = element.createTBody();
  const most = Math.ceil(body.clientHeight / 30);
  for (let place = 0; place < Math.min(frame.length, most); place++) {
    const row = rows.insertRow();
    fields.forEach((field) => fill(row.insertCell(), field, field.values[place]));
  }
}

function fill(cell, field, value) {
  const shown = field.display(value);
  const kind = field.config.custom?.cellOptions?.type;
  cell.textContent = formattedValueToString(shown);
  if (field.type === FieldType.number) cell.classList.add('number');
  if (field.config.links?.length && value !== null) cell.classList.add('link');
  if (value !== null && kind === 'color-background') {
    cell.style.background = shown.color;
    cell.style.color = '#111217';
  }
  if (value !== null && kind === 'color-text') cell.style.color = shown.color;
}

/** Return the widths of columns as Grafana gives them: fixed, or an equal share, but not below the least. */
function widths(fields, whole) {
  const fixed = fields.map((field) => field.config.custom?.width);
  const left = whole - fixed.reduce((sum, width) => sum + (width ?? 0), 0);
  const share = left / fixed.filter((width) => width === undefined).length;
  return fields.map((field, place) => fixed[place] ?? Math.max(share, field.config.custom?.minWidth ?? 150));
}
