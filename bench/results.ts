import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { median } from './page.ts';
import { readSamples, type Sample, type Series } from './sample.ts';
import { speedSections } from './speed-results.ts';

/** Writes bench/results.md from the kept samples: a bench that was not run today stays with its own commit and date. */
export function writeResults(): void {
  const text = [
    '# Results',
    '',
    'Written by `npm run bench`; not to be edited. Every reading is in `bench/samples/`. Of some readings the median stands first, and in',
    'brackets the lowest and the highest.',
    ...speedSections(),
    ...readSamples().flatMap(section),
    '',
  ].join('\n');
  writeFileSync(join(import.meta.dirname, 'results.md'), text);
}

function section({ title, method, series, commit, takenAt, node, machine, load }: Sample): string[] {
  return [
    '',
    `## ${title}`,
    '',
    method,
    '',
    '| | quantity | median | lowest | highest | runs |',
    '|---|---|---|---|---|---|',
    ...series.map(row),
    '',
    `Commit ${commit}; Node ${node}; ${machine}, load ${load}; ${takenAt.slice(0, 10)}.`,
  ];
}

function row({ variant, quantity, unit, readings }: Series): string {
  const sorted = readings.toSorted((a, b) => a - b);
  const cell = (value: number | undefined) =>
    value === undefined ? '-' : `${value.toFixed(unit === 'MiB' ? 1 : 0)} ${unit}`;
  return `| ${variant} | ${quantity} | ${cell(median(sorted))} | ${cell(sorted[0])} | ${cell(sorted.at(-1))} | ${sorted.length} |`;
}
