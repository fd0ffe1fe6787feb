import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Need } from '../test/tools/find.ts';

/** One measured quantity of one variant, every single reading kept. */
export interface Series {
  variant: string;
  quantity: string;
  unit: 'ms' | 'MiB' | 'octets';
  readings: number[];
}

export interface Bench {
  name: string;
  title: string;
  /** How it is measured, for the reader of the results. */
  method: string;
  /** Where it is absent, Node alone will do. */
  needs?: readonly Need[];
  run(say: (line: string) => void): Promise<Series[]>;
}

/** Everything that readings depend on. */
export interface Circumstances {
  commit: string;
  takenAt: string;
  node: string;
  machine: string;
  /** Processes that wanted a core in the minute before it ended: above the number of cores, times are too long. */
  load: number;
}

/** What a run leaves behind. */
export interface Sample extends Circumstances {
  bench: string;
  title: string;
  method: string;
  series: Series[];
}

const folder = join(import.meta.dirname, 'samples');

export function takeSample({ name, title, method }: Bench, series: Series[], takenAt: Date): Sample {
  const sample: Sample = { bench: name, title, method, ...circumstances(takenAt), series };
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(sample, null, 2)}\n`);
  return sample;
}

export function circumstances(takenAt: Date): Circumstances {
  return {
    commit: commit(),
    takenAt: takenAt.toISOString(),
    node: process.version,
    machine: machine(),
    load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
  };
}

export function readSamples(): Sample[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return names.sort().map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Sample);
}

function commit(): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
  try {
    // What is measured is the programs; a page of docs that is being written changes nothing.
    const changed = git('status', '--porcelain', '--', ':/api', ':/kube', ':/operator', ':/agent', ':/cli', ':/bin');
    return `${git('rev-parse', '--short=12', 'HEAD')}${changed === '' ? '' : ' with uncommitted changes'}`;
  } catch {
    return 'unknown (no git)';
  }
}

function machine(): string {
  const [cpu] = cpus();
  const gibibytes = (totalmem() / 2 ** 30).toFixed(0);
  return `${cpu?.model.trim() ?? 'unknown CPU'}, ${cpus().length} cores, ${gibibytes} GiB, ${process.platform} ${release()} ${process.arch}`;
}
