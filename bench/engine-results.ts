/** The page of `npm run bench -- engine`, written from the kept samples. */
import { ResultsPage, shareVerdict, spread } from './page.ts';
import type { PolicyReading } from './policy-cost.ts';
import type { Circumstances } from './sample.ts';

export interface MissReading {
  server: string;
  round: number;
  cpuMicros: number;
  perSecond: number;
  lost: number;
}

export interface FloodReading {
  server: string;
  isFlooded: boolean;
  p99Ms: number;
  worstMs: number;
  sent: number;
  lost: number;
}

export interface MemoryReading {
  names: number;
  maxBytes: string;
  emptyMebibytes: number;
  fullMebibytes: number;
}

export interface EngineSamples {
  circumstances: Circumstances;
  misses: MissReading[];
  flood: FloodReading[];
  memory: MemoryReading[];
  policies: PolicyReading[];
}

/** Of CPU per miss: the agent's share of the other's. */
const goals = { CoreDNS: 0.33, unbound: 0.6 } as const;

export const engineResults = new ResultsPage<EngineSamples>('engine', report);

function report({ circumstances: taken, misses, flood, memory, policies }: EngineSamples): string {
  const servers = [...new Set(misses.map(({ server }) => server))];
  const rounds = Math.max(...misses.map(({ round }) => round));
  return [
    '# What the engine costs',
    '',
    'Written by `npm run bench -- engine`; not to be edited. Every reading is in `bench/samples/engine/`. Clients, servers and the upstream',
    'server, a CoreDNS that has an address for every name, share the processors of one machine: take the figures as proportions. Each',
    'cell is the median, and in brackets the lowest and the highest reading.',
    '',
    '## A miss, forwarded over TCP',
    '',
    `${rounds} rounds, in each of which every server in turn is asked for names that nobody has asked for, by dnsperf over UDP, 100 at a time.`,
    'CPU is the user and system time of all threads of the server’s process, divided by the answers. All forward to the same upstream',
    'server over TCP, and keep each answer, but for the last: a CoreDNS without its cache has less to do. unbound has one thread.',
    '',
    '| server | CPU per miss | answers a second | lost |',
    '|---|---|---|---|',
    ...servers.map((server) => {
      const own = misses.filter((reading) => reading.server === server);
      const lost = own.reduce((sum, reading) => sum + reading.lost, 0);
      return `| ${server} | ${spread(
        own.map(({ cpuMicros }) => cpuMicros),
        'µs',
      )} | ${spread(
        own.map(({ perSecond }) => perSecond),
        '',
        0,
      )} | ${lost} |`;
    }),
    '',
    ...Object.entries(goals).map(([server, goal]) => shareVerdict(misses, server, goal)),
    '',
    '## Popular names while random ones flood in',
    '',
    'A client asks for 200 names that are cached, 500 times a second in an open loop; in every other run dnsperf asks the same server for',
    '5,000 new names a second, each of which is forwarded.',
    '',
    '| server | flood | p99 of the popular names | worst | lost |',
    '|---|---|---|---|---|',
    ...[...new Set(flood.map(({ server }) => server))].flatMap((server) =>
      [false, true].map((isFlooded) => floodRow(flood, server, isFlooded)),
    ),
    '',
    '## Memory',
    '',
    'Resident memory of the bundled agent when it serves, and 2 s after as many names were asked for once. The budget is that of the cache',
    'alone (`cache.maxBytes`); the rest is Node, the program, and what its garbage collector has not given back.',
    '',
    '| names | budget | empty | full | more |',
    '|---|---|---|---|---|',
    ...memory.map(
      ({ names, maxBytes, emptyMebibytes, fullMebibytes }) =>
        `| ${names.toLocaleString('en')} | ${maxBytes} | ${emptyMebibytes.toFixed(1)} MiB | ${fullMebibytes.toFixed(1)} MiB | ${(fullMebibytes - emptyMebibytes).toFixed(1)} MiB |`,
    ),
    '',
    '## Redirects',
    '',
    'One cached answer from packet to packet, without sockets, under redirects that do not match the name; interleaved rounds. A new name',
    'takes what the last rows say beside that, once: the verdict on it is remembered.',
    '',
    '| redirects | per query |',
    '|---|---|',
    ...[...new Set(policies.map((reading) => reading.policies))].map((name) => {
      const own = policies.filter((reading) => reading.policies === name);
      return `| ${name} | ${spread(
        own.map(({ microsPerQuery }) => microsPerQuery),
        'µs',
        2,
      )} |`;
    }),
    '',
    `Commit ${taken.commit}; Node ${taken.node}; ${taken.machine}, load ${taken.load}; ${taken.takenAt.slice(0, 10)}.`,
    '',
  ].join('\n');
}

function floodRow(flood: readonly FloodReading[], server: string, isFlooded: boolean): string {
  const own = flood.filter((reading) => reading.server === server && reading.isFlooded === isFlooded);
  const lost = own.reduce((sum, reading) => sum + reading.lost, 0);
  const sent = own.reduce((sum, reading) => sum + reading.sent, 0);
  const [p99, worst] = [own.map(({ p99Ms }) => p99Ms), own.map(({ worstMs }) => worstMs)];
  return `| ${server} | ${isFlooded ? 'yes' : 'no'} | ${spread(p99, 'ms')} | ${spread(worst, 'ms')} | ${lost} of ${sent} |`;
}
