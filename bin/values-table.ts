/** docs/reference/chart.md: every value of the chart, from its schema, with the default that values.yaml gives it. */

export interface Schema {
  description?: string;
  properties?: Record<string, Schema>;
}

export type Values = Record<string, unknown>;

/** What is written as one value, though the schema knows its parts. */
const whole = new Set(['resources']);

export function valuesPage(schema: Schema, values: Values): string {
  const rows = rowsOf(schema, values, '');
  return [
    '# Values of the chart',
    '',
    'Written by `npm run crds` from `charts/localdns/values.schema.json` and `values.yaml`; not to be edited. Whatever is not here is refused.',
    '',
    '| value | default | meaning |',
    '|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

function rowsOf({ properties = {} }: Schema, values: Values, path: string): string[] {
  return Object.entries(properties).flatMap(([name, schema]) => {
    if (!(name in values)) return [];
    const value = values[name];
    const own = `${path}${name}`;
    if (schema.properties !== undefined && !whole.has(name)) return rowsOf(schema, value as Values, `${own}.`);
    return [`| \`${own}\` | \`${JSON.stringify(value)}\` | ${schema.description ?? ''} |`];
  });
}
