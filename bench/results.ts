import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Bound, median, verdict } from './page.ts';
import { readSamples, type Sample, type Series } from './sample.ts';
import { speedSections } from './speed-results.ts';

interface Goal {
  variant: string;
  quantity: string;
  bound: Bound;
  goal: number;
}

/** By bench. */
const goals: Readonly<Record<string, readonly Goal[]>> = {
  'cluster-memory': [{ variant: 'bundled, in a cluster', quantity: 'settled', bound: 'at most', goal: 90 }],
  start: [
    { variant: 'bundled', quantity: 'first answer', bound: 'below', goal: 300 },
    { variant: 'from source', quantity: 'first answer', bound: 'below', goal: 1_000 },
  ],
  memory: [
    { variant: 'bundled', quantity: 'filled', bound: 'at most', goal: 90 },
    { variant: 'bundled', quantity: 'settled', bound: 'at most', goal: 90 },
  ],
};

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

function section({ bench, title, method, series, commit, takenAt, node, machine, load }: Sample): string[] {
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
    ...verdicts(bench, series),
    `Commit ${commit}; Node ${node}; ${machine}, load ${load}; ${takenAt.slice(0, 10)}.`,
  ];
}

/** Of the medians; the lines and an empty one. */
export function verdicts(bench: string, series: readonly Series[]): string[] {
  const lines = (goals[bench] ?? []).map(({ variant, quantity, bound, goal }) => {
    const own = series.find((one) => one.variant === variant && one.quantity === quantity);
    return verdict(
      `${variant}, ${quantity}`,
      median((own?.readings ?? []).toSorted((a, b) => a - b)),
      bound,
      goal,
      own?.unit ?? '',
    );
  });
  return lines.length === 0 ? [] : [...lines, ''];
}

function row({ variant, quantity, unit, readings }: Series): string {
  const sorted = readings.toSorted((a, b) => a - b);
  const cell = (value: number | undefined) =>
    value === undefined ? '-' : `${value.toFixed(unit === 'MiB' ? 1 : 0)} ${unit}`;
  return `| ${variant} | ${quantity} | ${cell(median(sorted))} | ${cell(sorted[0])} | ${cell(sorted.at(-1))} | ${sorted.length} |`;
}
