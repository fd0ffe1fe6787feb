import { deepEqual, equal } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { type Schema, type Values, valuesPage } from './values-table.ts';

const file = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

test('the page of the chart is what its schema and its values say', () => {
  const page = valuesPage(
    JSON.parse(file('charts/localdns/values.schema.json')) as Schema,
    parse(file('charts/localdns/values.yaml')) as Values,
  );
  equal(file('docs/reference/chart.md'), page, 'run npm run crds');
});

test('each value has one row: its path, its default, its meaning', () => {
  const schema = {
    properties: {
      name: { description: 'A name.' },
      part: {
        properties: { resources: { description: 'All.', properties: { limits: {} } }, on: { description: 'Whether.' } },
      },
      global: { description: 'Not in values.yaml.' },
    },
  };
  const rows = valuesPage(schema, { name: '', part: { resources: { limits: {} }, on: false } }).split('\n');
  deepEqual(
    rows.filter((row) => row.startsWith('| `')),
    [
      '| `name` | `""` | A name. |',
      '| `part.resources` | `{"limits":{}}` | All. |',
      '| `part.on` | `false` | Whether. |',
    ],
  );
});
