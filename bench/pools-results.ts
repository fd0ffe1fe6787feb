/** The page of `npm run bench -- pools`, written from the kept samples. */
import { ResultsPage } from './page.ts';
import type { Circumstances } from './sample.ts';

export interface Load {
  latenciesMs: number[];
  /** The longest time in which the process that asks did nothing, though it would have. */
  pauseMs: number;
}

export interface Phase extends Load {
  name: string;
  /** Open at CoreDNS. */
  connections: number;
  /** Resident memory of CoreDNS in MiB. */
  memory: number;
  /** Of CoreDNS, for all of these; where nothing was asked it is left out. */
  processorMs: number | undefined;
}

/** Nodes that ask each endpoint: as their first choice, as one of three. */
export interface Spread {
  endpoints: number;
  first: number[];
  three: number[];
}

export interface PoolSamples {
  circumstances: Circumstances;
  phases: Phase[];
  /** The fast ones of each run. */
  slow: Load[];
  spreads: Spread[];
}

export const poolsResults = new ResultsPage<PoolSamples>('pools', report);

function report({ circumstances: taken, phases, slow, spreads }: PoolSamples): string {
  const [idle] = phases;
  return [
    '# What the connections of 5,000 nodes cost CoreDNS',
    '',
    'Written by `npm run bench -- pools`; not to be edited. Every reading is in `bench/samples/pools/`.',
    '',
    'One CoreDNS on loopback, which answers every name from a template, is asked over TCP by 5,000 nodes, each with the pool that the',
    'agent has. All nodes are one process on the same machine, so that times are those of a machine which is busy with both: its',
    '`pause` is the longest time in which this process did not come to anything. Queries leave when their time has come, 1,000 a second',
    'in all; connections are counted at CoreDNS, its memory is VmRSS.',
    '',
    '| | connections | memory | more than with one node | median | 99 % | slowest | pause | CPU of CoreDNS per query |',
    '|---|---|---|---|---|---|---|---|---|',
    ...phases.map((phase) => phaseRow(phase, idle)),
    '',
    '## A slow answer among fast ones',
    '',
    'One node asks a name that takes CoreDNS a second and, while that is out, a thousand others, 2,000 a second (goal: 99 of 100 below',
    '20 ms). CoreDNS answers each connection one query after the other: over one connection, half of them would wait for half a second',
    'and more.',
    '',
    '| run | median | 99 % | slowest | pause |',
    '|---|---|---|---|---|',
    ...slow.map((run, index) => `| ${[index + 1, ...figures(run)].join(' | ')} |`),
    '',
    '## How nodes spread',
    '',
    'How many of 5,000 nodes ask each endpoint of cluster DNS: as their first choice (which is all that forwardPolicy Sequential asks',
    'while it is up), and as one of the three that RoundRobin and Random ask. Counted, not measured.',
    '',
    '| endpoints | first choice: fewest, most | one of three: fewest, most |',
    '|---|---|---|',
    ...spreads.map(({ endpoints, first, three }) => `| ${endpoints} | ${range(first)} | ${range(three)} |`),
    '',
    `Commit ${taken.commit}; Node ${taken.node}; ${taken.machine}, load ${taken.load}; ${taken.takenAt.slice(0, 10)}.`,
    '',
  ].join('\n');
}

function phaseRow({ name, connections, memory, processorMs, ...load }: Phase, idle: Phase | undefined): string {
  const more = idle === undefined || connections < 100 ? '-' : perConnection(memory - idle.memory, connections);
  const cpu = processorMs === undefined ? '-' : `${((processorMs * 1000) / load.latenciesMs.length).toFixed(0)} µs`;
  return `| ${[name, connections, `${memory.toFixed(1)} MiB`, more, ...figures(load), cpu].join(' | ')} |`;
}

function perConnection(mebibytes: number, connections: number): string {
  return `${mebibytes.toFixed(1)} MiB, ${((mebibytes * 1024) / connections).toFixed(1)} KiB a connection`;
}

function figures({ latenciesMs: values, pauseMs }: Load): string[] {
  if (values.length === 0) return ['-', '-', '-', '-'];
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number) => `${(sorted[Math.ceil(sorted.length * part) - 1] ?? Number.NaN).toFixed(2)} ms`;
  return [at(0.5), at(0.99), at(1), `${pauseMs.toFixed(0)} ms`];
}

function range(counts: readonly number[]): string {
  return `${Math.min(...counts)}, ${Math.max(...counts)}`;
}
