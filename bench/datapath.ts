/**
 * `npm run bench -- datapath`: what each event costs the queries of three pods, in a lab of network namespaces with the real
 * kube-proxy and CoreDNS, and what the packet rules cost other traffic. Needs root and what `npm run tools` builds.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  applyingCost,
  type CostRound,
  dearer,
  forwardingCost,
  type Interval,
  median,
} from '../test/datapath/forwarding-cost.ts';
import { Lab } from '../test/datapath/lab.ts';
import type { Row } from '../test/datapath/results.ts';
import { type Circumstances, circumstances } from './sample.ts';

/** In both modes of kube-proxy they take ten minutes. */
const eventRounds = 1;
const costRounds = 100;
const applyRounds = 20;
const files = ['deaths', 'hand-over', 'withdrawal', 'world', 'hostile', 'tracked', 'removal', 'node-processes'];
const tests = join(import.meta.dirname, '../test');
const samples = join(import.meta.dirname, 'samples/datapath');

interface Samples {
  circumstances: Circumstances;
  rounds: Row[][];
  cost: CostRound[];
  applyMs: number[];
}

export const datapathBench = 'datapath';

export async function benchDatapath(say: (line: string) => void): Promise<void> {
  const rounds: Row[][] = [];
  for (let round = 1; round <= eventRounds; round++) {
    const rows = files.flatMap((file) => rowsOf(file, say));
    say(
      `round ${round}: ${rows.length} events, ${rows.filter(({ failures }) => failures.length > 0).length} missed a goal`,
    );
    rounds.push(rows);
  }
  const lab = await Lab.start('nftables');
  let cost: CostRound[];
  let applyMs: number[];
  try {
    cost = await forwardingCost(lab, costRounds);
    applyMs = applyingCost(lab, applyRounds);
  } finally {
    await lab.stop();
  }
  const taken = { circumstances: circumstances(new Date()), rounds, cost, applyMs };
  mkdirSync(samples, { recursive: true });
  writeFileSync(join(samples, 'samples.json'), `${JSON.stringify(taken)}\n`);
  writeFileSync(join(import.meta.dirname, 'results-datapath.md'), report(taken));
  say('bench/results-datapath.md is written');
}

/** The tests themselves are the measurement; one that misses its goal leaves its row too. */
function rowsOf(file: string, say: (line: string) => void): Row[] {
  const folder = mkdtempSync(join(tmpdir(), 'localdns-bench-'));
  const path = join(folder, 'rows');
  writeFileSync(path, '');
  const env = { ...process.env, LOCALDNS_DATAPATH_ROWS: path };
  const args = [join(tests, 'run.ts'), '--nightly', join(tests, `datapath/${file}.test.ts`)];
  const { status } = spawnSync(process.execPath, args, { env, stdio: 'ignore' });
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  rmSync(folder, { recursive: true });
  if (status !== 0) say(`${file}: a test failed`);
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Row);
}

function report({ circumstances: taken, rounds, cost, applyMs }: Samples): string {
  const events = [...new Set(rounds.flat().map(eventOf))];
  const { median: middle, low, high } = dearer(cost);
  const [without, withTables, sending] = (['without', 'with', 'sending'] as const).map((key) =>
    median(cost.map((round) => round[key])),
  );
  return [
    '# What an event costs queries',
    '',
    'Written by `npm run bench -- datapath`; not to be edited. Every lost and slow query is in `bench/samples/datapath/`.',
    '',
    'Three pods ask 320 times a second each, over UDP and TCP, at the cluster DNS Service address and at the link-local address of the',
    'agent. The load is open-loop: each query is sent when its time has come, once, and waits 2 s for its answer. Node, pods and two',
    'CoreDNS are network namespaces; kube-proxy is the real one. Times are in milliseconds after the event; `tracked` are entries of',
    'connection tracking for what the agent answered. `past the node` is the slowest answer to a client whose queries take no part of',
    'this: what the machine itself did meanwhile. Where several runs differ, all are given.',
    '',
    '| event | kube-proxy | queries | lost | sent | slowest | past the node | ≥ 50 ms | connections ended | tracked | goals | met |',
    '|---|---|---|---|---|---|---|---|---|---|---|---|',
    ...events.map((event) => eventRow(rounds.flat().filter((row) => eventOf(row) === event))),
    '',
    '## What the rules cost other traffic',
    '',
    `A small UDP packet that the node forwards, not DNS: ${nanoseconds(without)} of processor time from its sender on, ${nanoseconds(withTables)} with the`,
    `agent's tables, ${nanoseconds(sending)} of it for sending. Forwarding alone becomes dearer by ${percent({ median: middle, low, high })}`,
    `(median and 95 % interval of ${cost.length} interleaved rounds; goal: below 3 %). ${verdict({ median: middle, low, high })}`,
    '',
    `Applying all tables of both families, with the start of nft: median ${median(applyMs).toFixed(1)} ms, at most ${Math.max(...applyMs).toFixed(1)} ms (goal: below 50 ms).`,
    'A change of endpoints changes elements of sets and no rule; a test watches `nft monitor` for that.',
    '',
    `Commit ${taken.commit}; Node ${taken.node}; ${taken.machine}, load ${taken.load}; ${taken.takenAt.slice(0, 10)}.`,
    '',
  ].join('\n');
}

function eventOf({ event, proxy }: Row): string {
  return `${event} ${proxy}`;
}

function eventRow(rows: readonly Row[]): string {
  const [first] = rows;
  if (first === undefined) return '';
  const lost = rows.flatMap(({ samples: { lost } }) => lost);
  const cells = [
    ...[first.event, first.proxy, rows.reduce((sum, { sent }) => sum + sent, 0)],
    each(rows.map((row) => row.lost)),
    lost.length === 0 ? '-' : `${Math.min(...lost)} to ${Math.max(...lost)} ms`,
    `${Math.max(...rows.map(({ worstMs }) => worstMs)).toFixed(0)} ms`,
    `${Math.max(...rows.map(({ noiseMs }) => noiseMs)).toFixed(0)} ms`,
    each(rows.map((row) => row.slow)),
    each(rows.map((row) => row.cuts)),
    each(rows.map((row) => row.tracked)),
    first.goals.join('; '),
    `${rows.filter(({ failures }) => failures.length === 0).length} of ${rows.length}`,
  ];
  return `| ${cells.join(' | ')} |`;
}

/** What each run had, or what all had. */
function each(values: readonly number[]): string {
  return new Set(values).size === 1 ? `${values[0]}` : values.join(', ');
}

function nanoseconds(value: number | undefined): string {
  return `${(value ?? Number.NaN).toFixed(0)} ns`;
}

function percent({ median: middle, low, high }: Interval): string {
  return `${middle.toFixed(1)} % [${low.toFixed(1)}, ${high.toFixed(1)}]`;
}

function verdict({ low, high }: Interval): string {
  if (high < 3) return 'The goal is met.';
  if (low > 3) return 'The goal is missed.';
  return 'The interval reaches across the goal: the noise of this machine is larger than what is to be seen.';
}
