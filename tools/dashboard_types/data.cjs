// Answers, by Grafana's own code, which units there are and what transformations make of frames.
//
// It reads one JSON object: `formatted`, a list of [unit, decimals, value], and `frames`, a list of
// [transformations, fields]. It writes another one, with all units and transformations that exist.
globalThis.navigator ??= { language: 'en-US', languages: ['en-US'] };
const data = require('@grafana/data');
globalThis.window = { grafanaBootData: { settings: {} }, location: { search: '' } };

const byId = new Map(Object.values(data.standardTransformers).map((each) => [each.id, each]));
data.standardTransformersRegistry.setInit(() =>
  [...byId.values()].map((each) => ({ id: each.id, name: each.name, transformation: async () => each }))
);

function formatted([unit, decimals, value]) {
  return data.formattedValueToString(data.getValueFormat(unit)(value, decimals));
}

function transformed([transformations, fields]) {
  return new Promise((resolve, reject) =>
    data.transformDataFrame(transformations, [data.toDataFrame({ fields })]).subscribe({
      next: ([frame]) => resolve(frame.fields.map((field) => [field.name, Array.from(field.values)])),
      error: reject,
    })
  );
}

async function main() {
  const asked = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  const units = data.getValueFormats().flatMap((group) => group.submenu.map((unit) => unit.value));
  const answer = {
    units,
    transformations: [...byId.keys()],
    formatted: asked.formatted.map(formatted),
    frames: await Promise.all(asked.frames.map(transformed)),
  };
  console.log(JSON.stringify(answer));
}

main();
