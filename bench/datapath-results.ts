/** The page of `npm run bench -- datapath`, written from the kept samples. */

import { type CostRound, dearer, type Interval, median } from '../test/datapath/forwarding-cost.ts';
import type { Row } from '../test/datapath/results.ts';
import { ResultsPage } from './page.ts';
import type { Circumstances } from './sample.ts';

export interface Samples {
  circumstances: Circumstances;
  rounds: Row[][];
  cost: CostRound[];
  applyMs: number[];
}

export const datapathResults = new ResultsPage<Samples>('datapath', report);

function report({ circumstances: taken, rounds, cost, applyMs }: Samples): string {
  const forwarding = dearer(cost);
  const all = cost.map((round) => ({ ...round, sending: 0 }));
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
    ...eventsTable(rounds.flat()),
    '',
    '## What the rules cost other traffic',
    '',
    `A small UDP packet that the node forwards, not DNS: ${nanoseconds(without)} of processor time from its sender on, ${nanoseconds(withTables)} with the`,
    `agent's tables, ${nanoseconds(sending)} of it for sending (medians of ${cost.length} interleaved rounds). All of it becomes dearer by`,
    `${percent(dearer(all))}, forwarding alone by ${percent(forwarding)} (median and 95 % interval; goal: below 3 %).`,
    verdict(forwarding),
    `One chain without any rule, at the place of the first of these, costs forwarding ${percent(dearer(cost, 'bare'))} by itself.`,
    '',
    `Applying all tables of both families, with the start of nft: median ${median(applyMs).toFixed(1)} ms, at most ${Math.max(...applyMs).toFixed(1)} ms (goal: below 50 ms).`,
    'A change of endpoints changes elements of sets and no rule; a test watches `nft monitor` for that.',
    '',
    `Commit ${taken.commit}; Node ${taken.node}; ${taken.machine}, load ${taken.load}; ${taken.takenAt.slice(0, 10)}.`,
    '',
  ].join('\n');
}

/** One line for each event, however often it was tried. */
export function eventsTable(rows: readonly Row[]): string[] {
  const events = [...new Set(rows.map(eventOf))];
  return [
    '| event | kube-proxy | queries | lost | sent | slowest | past the node | ≥ 50 ms | connections ended | tracked | goals | met |',
    '|---|---|---|---|---|---|---|---|---|---|---|---|',
    ...events.map((event) => eventRow(rows.filter((row) => eventOf(row) === event))),
  ];
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

/** Of forwarding alone, the stricter measure. */
function verdict({ median: middle, low, high }: Interval): string {
  if (high < 3) return 'For forwarding alone the goal is met.';
  if (low > 3) return 'For forwarding alone the goal is missed.';
  return `For forwarding alone the interval reaches across the goal, its middle is ${middle < 3 ? 'below' : 'above'} it.`;
}
