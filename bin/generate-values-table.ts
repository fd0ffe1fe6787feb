/** Writes the page of the chart (a part of `npm run crds`); a test fails when it drifts. */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseManifest } from '../cli/manifest.ts';
import { type Schema, type Values, valuesPage } from './values-table.ts';

const fromRoot = (path: string) => new URL(`../${path}`, import.meta.url);
const text = (path: string) => readFileSync(fromRoot(`charts/localdns/${path}`), 'utf8');
const page = 'docs/reference/chart.md';

const values = parseManifest(text('values.yaml'));
if ('error' in values) throw new Error(`values.yaml: ${values.error}`);
writeFileSync(fromRoot(page), valuesPage(JSON.parse(text('values.schema.json')) as Schema, values.value as Values));
console.log(page);
