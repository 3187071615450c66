// Grafana's own package of data: units, colours, value mappings, overrides and transformations are its code.
import {
  FieldConfigOptionsRegistry,
  FieldType,
  applyFieldOverrides,
  createTheme,
  formattedValueToString,
  getFieldDisplayName,
  getFieldDisplayValues,
  getFieldSeriesColor,
  standardTransformers,
  standardTransformersRegistry,
  toDataFrame,
  transformDataFrame,
} from '@grafana/data';

export { FieldType, formattedValueToString, getFieldDisplayName };

const known = Object.values(standardTransformers).filter(
  (each, place, all) => all.findIndex((other) => other.id === each.id) === place,
);
standardTransformersRegistry.setInit(() =>
  known.map((each) => ({ id: each.id, name: each.name, transformation: async () => each })),
);

/** Return the colours of a mode, `dark` or `light`. */
export const theme = (mode) => createTheme({ colors: { mode } });

/** Return the frames of a panel as Grafana hands them to what draws it. */
export async function prepared(panel, frames, theme) {
  const data = await transformed(panel.transformations ?? [], frames.map((frame) => toDataFrame(frame)));
  return applyFieldOverrides({
    data,
    fieldConfig: panel.fieldConfig,
    fieldConfigRegistry: registry(panel.fieldConfig),
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });
}

/** Return the values that a panel of single values shows. */
export function displayed(panel, data, theme) {
  return getFieldDisplayValues({
    data,
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });
}

/** Return the columns over time, or of numbers, that a chart draws: name, values, colour, format. */
export function series(data, theme) {
  const numbers = data.flatMap((frame) => frame.fields.filter((field) => field.type === FieldType.number));
  numbers.forEach((field, seriesIndex) => {
    field.state = { ...field.state, seriesIndex }; // charts count only what they draw, for colours by number
  });
  return data.flatMap((frame) => {
    const time = frame.fields.find((field) => field.type === FieldType.time);
    return frame.fields
      .filter((field) => field.type === FieldType.number && !hidden(field))
      .map((field) => ({
        name: getFieldDisplayName(field, frame, data),
        times: time?.values,
        values: field.values,
        color: getFieldSeriesColor(field, theme).color,
        custom: field.config.custom ?? {},
        text: (value, decimals) => formattedValueToString(field.display(value, decimals)),
        field,
      }));
  });
}

/** Return whether a field is not to be drawn. */
export const hidden = (field) => Boolean(field.config.custom?.hideFrom?.viz ?? field.config.custom?.hidden);

/** Return whether there is no value at all. */
export const isEmpty = (data) =>
  !data.some((frame) =>
    frame.fields.some((field) => field.type !== FieldType.time && field.values.some((value) => value !== null)),
  );

function transformed(steps, frames) {
  return new Promise((done, failed) => transformDataFrame(steps, frames).subscribe({ next: done, error: failed }));
}

/** Return what may be set: all that the panel does set, as it stands. */
function registry({ defaults, overrides }) {
  const ids = new Set([
    ...Object.keys(defaults).filter((name) => name !== 'custom'),
    ...Object.keys(defaults.custom ?? {}).map((name) => `custom.${name}`),
    ...overrides.flatMap((each) => each.properties.map((property) => property.id)),
  ]);
  const options = new FieldConfigOptionsRegistry();
  for (const id of ids) {
    const isCustom = id.startsWith('custom.');
    const path = isCustom ? id.slice('custom.'.length) : id;
    options.register({ id, path, isCustom, name: id, process: (value) => value, shouldApply: () => true });
  }
  return options;
}
