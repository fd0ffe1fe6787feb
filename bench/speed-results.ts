/** What the page of results says of `npm run bench -- speed`, written from the kept samples, and the picture beside it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cachedOnce, cachedTcp, cachedUdp, missesUdp, mixedUdp } from './contenders.ts';
import { type FlagReading, flagSection } from './flags.ts';
import { lineUpSection, type Participant } from './line-up.ts';
import { type LowRateReading, lowRateSection } from './low-rates.ts';
import { median, ratioVerdict, sharesOf, shareVerdict, spread, verdict } from './page.ts';
import type { Circumstances } from './sample.ts';
import { type ChangeReading, changesPerReading, type GarbageReading, type TcpReading } from './speed-agent.ts';
import type { ProfileReading } from './speed-profile.ts';

export interface CostReading {
  load: string;
  server: string;
  round: number;
  cpuMicros: number;
  perSecond: number;
  lost: number;
}

export interface LatencyReading {
  server: string;
  round: number;
  /** Queries a second that were asked for; absent: as many as it takes. */
  rate?: number;
  /** That came. */
  perSecond: number;
  lost: number;
  /** Microseconds. */
  p50: number;
  p99: number;
  p999: number;
}

export interface SpeedSamples {
  circumstances: Circumstances;
  /** Absent in samples of before they were kept; so are the flags and the low rates. */
  participants?: Participant[];
  /** Servers that did not take part, each with what the machine lacked. */
  absent: readonly string[];
  costs: CostReading[];
  latencies: LatencyReading[];
  lowRates?: LowRateReading[];
  idle: { server: string; percent: number }[];
  resident: { server: string; mebibytes: number }[];
  changes: ChangeReading[];
  overTcp: TcpReading[];
  garbage: GarbageReading;
  flags?: FlagReading[];
  profile?: ProfileReading;
  missProfile?: ProfileReading;
}

/** Of CPU per answer: the agent's share of the other's, at most. */
const goals: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  [cachedUdp]: { 'C echo': 1.2, unbound: 1, dnsmasq: 1, CoreDNS: 0.36, 'CoreDNS, one thread': 0.36 },
  [cachedOnce]: { 'C echo': 1.2, unbound: 1, dnsmasq: 1, CoreDNS: 0.36 },
  [cachedTcp]: { CoreDNS: 0.4 },
  [missesUdp]: { CoreDNS: 0.33, 'CoreDNS, one thread': 0.33, unbound: 0.6 },
};

const what: Readonly<Record<string, string>> = {
  [cachedUdp]: 'A thousand names, A, without EDNS: most queries come again octet for octet within a second. ',
  [cachedOnce]:
    'The same names, each in 120 mixtures of upper and lower case: no query comes again octet for octet within a second, so that LocalDNS reads each one, looks it up and writes an answer. ',
  [missesUdp]: 'Names that nobody has asked for, of which all servers ask CoreDNS over TCP. ',
  [mixedUdp]: 'One name of ten is new. ',
};

const picture = 'results.svg';
const kept = join(import.meta.dirname, 'samples/speed/samples.json');

/** Of p99 at rest, while it is changed. */
const changeGoal = 2;
/** Milliseconds: where nothing comes over UDP, and where that is saturated. */
const tcpGoals = { 'no UDP traffic': 5, 'UDP saturated': 50 } as const;
/** Mebibytes that ten million answers leave outside the young generation. */
const garbageGoal = 1;
/** Percent of a core. */
const idleGoal = 0.5;

export function keepSpeedSamples(taken: SpeedSamples): void {
  mkdirSync(dirname(kept), { recursive: true });
  writeFileSync(kept, `${JSON.stringify(taken)}\n`);
}

/** Of the page of results, from the samples that are kept; draws the picture. */
export function speedSections(): string[] {
  if (!existsSync(kept)) return [];
  const samples = JSON.parse(readFileSync(kept, 'utf8')) as SpeedSamples;
  const {
    circumstances: taken,
    participants = [],
    absent,
    costs,
    latencies,
    lowRates = [],
    idle,
    resident,
    changes,
    overTcp,
    garbage,
    flags = [],
    profile,
    missProfile,
  } = samples;
  const loads = [...new Set(costs.map(({ load }) => load))];
  const rounds = Math.max(...costs.map(({ round }) => round));
  writeFileSync(join(import.meta.dirname, picture), chart(costs));
  return [
    '',
    '## What an answer costs',
    '',
    'dnsperf and the servers share the processors of one machine: take the figures as proportions. CPU is the user and system time of all',
    'threads of a process, divided by the answers. "LocalDNS, logging" has `queryLogging: Log`: it writes 10,000 lines a second at most, and',
    'counts the other queries. All have one thread that serves but CoreDNS, which has as many as the machine has processors, as on a node;',
    '"CoreDNS, one thread" stands beside it. Who loses answers meets no goal. The load is `dnsperf -c 8` with 100 queries under way (TCP: 400); dnsmasq asks over UDP alone, and is not asked',
    'over TCP, where it closes connections. For answers LocalDNS has 64 MiB, unbound as much for messages and again for their records,',
    'dnsmasq and CoreDNS room for 200,000: by themselves they keep 150 and 9,984.',
    '',
    `![CPU per cached answer](${picture})`,
    ...absent.flatMap((lack) => ['', `Absent: ${lack}`]),
    ...loads.flatMap((load) => costSection(load, costs, rounds)),
    '',
    '### How long a cached answer takes',
    '',
    'dnsperf asks so often a second over UDP; microseconds from its query to the answer.',
    '',
    '| asked | server | answered a second | p50 | p99 | p99.9 | lost |',
    '|---|---|---|---|---|---|---|',
    ...latencyRows(latencies),
    ...(lowRates.length === 0 ? [] : lowRateSection(lowRates)),
    '',
    '### While it is changed',
    '',
    'LocalDNS, bundled, at 20,000 cached answers a second: at rest, and while another configuration comes and metrics are scraped each',
    'second. Microseconds.',
    '',
    '| | configurations | scrapes | p50 | p99 | p99.9 | lost |',
    '|---|---|---|---|---|---|---|',
    ...changeRows(changes),
    '',
    changeVerdict(changes),
    '',
    '### Over TCP, names that nobody has asked for',
    '',
    'LocalDNS, bundled, at 200 a second, which it asks CoreDNS for over TCP: by themselves, and while clients over UDP ask for as many',
    'cached names as it takes. Microseconds.',
    '',
    '| | p50 | p99 | lost |',
    '|---|---|---|---|',
    ...tcpRows(overTcp),
    '',
    ...tcpVerdicts(overTcp),
    '',
    '### What a cached answer leaves to the collector',
    '',
    `${garbage.hits.toLocaleString('en')} answers: ${garbage.bytesPerHit.toFixed(0)} octets each; ${garbage.scavenges} scavenges and`,
    `${garbage.collections} full collections; the heap of the thread that serves was ${garbage.heapMebibytes[0].toFixed(1)} MiB after the first and`,
    `${garbage.heapMebibytes[1].toFixed(1)} MiB after the last of them (\`--trace-gc\`).`,
    '',
    verdict('what outlived the scavenges', garbage.grownMebibytes, 'at most', garbageGoal, 'MiB'),
    ...(profile === undefined ? [] : profileSection('a cached answer', profile)),
    ...(missProfile === undefined ? [] : profileSection('an answer that CoreDNS is asked for over TCP', missProfile)),
    ...(flags.length === 0 ? [] : flagSection(flags)),
    '',
    '### At the end of all this',
    '',
    'Nobody asks for half a minute: memory then, and processor time of the next half.',
    '',
    '| server | RSS | of a core |',
    '|---|---|---|',
    ...resident.map(({ server, mebibytes }) => {
      const percent = idle.find((reading) => reading.server === server)?.percent ?? Number.NaN;
      return `| ${server} | ${mebibytes.toFixed(1)} MiB | ${percent.toFixed(2)} % |`;
    }),
    '',
    verdict(
      'LocalDNS at rest',
      idle.find(({ server }) => server === 'LocalDNS')?.percent,
      'below',
      idleGoal,
      '% of a core',
    ),
    ...(participants.length === 0 ? [] : lineUpSection(participants, `commit ${taken.commit}, Node ${taken.node}`)),
    '',
    `Commit ${taken.commit}; Node ${taken.node}; ${taken.machine}, load ${taken.load}; ${taken.takenAt.slice(0, 10)}.`,
  ];
}

function profileSection(answer: string, { parts, functions, cpuMicros }: ProfileReading): string[] {
  const row = (name: string, share: number) => `| ${name} | ${(share * cpuMicros).toFixed(2)} µs |`;
  return [
    '',
    `### Where the time of ${answer} goes`,
    '',
    `perf (cpu-clock) samples LocalDNS, bundled, while it is asked as above; ${cpuMicros.toFixed(2)} µs an answer meanwhile.`,
    '',
    '| | |',
    '|---|---|',
    ...parts.map(({ part, share }) => row(part, share)),
    '',
    '| function of ours | |',
    '|---|---|',
    ...functions.map(({ name, share }) => row(`\`${name}\``, share)),
  ];
}

function costSection(load: string, costs: readonly CostReading[], rounds: number): string[] {
  const own = costs.filter((reading) => reading.load === load);
  const servers = [...new Set(own.map(({ server }) => server))];
  return [
    '',
    `### ${load}`,
    '',
    `${what[load] ?? ''}${rounds} rounds, in each of which every server in turn is asked by 8 clients of dnsperf.`,
    '',
    '| server | CPU per answer | answers a second | lost |',
    '|---|---|---|---|',
    ...servers.map((server) => {
      const of = own.filter((reading) => reading.server === server);
      const cpu = spread(
        of.map(({ cpuMicros }) => cpuMicros),
        'µs',
        2,
      );
      const rate = spread(
        of.map(({ perSecond }) => perSecond),
        '',
        0,
      );
      return `| ${server} | ${cpu} | ${rate} | ${of.reduce((sum, { lost }) => sum + lost, 0)} |`;
    }),
    '',
    ...Object.entries(goals[load] ?? {}).map(([server, goal]) => shareVerdict(own, server, goal)),
    ...kernelShares(own),
  ];
}

/** Where a goal leaves less than the kernel takes nobody can meet it. */
function kernelShares(readings: readonly CostReading[]): string[] {
  return ['CoreDNS', 'CoreDNS, one thread'].flatMap((server) => {
    const shares = sharesOf(readings, 'C echo', server).filter((share) => !Number.isNaN(share));
    return shares.length === 0 ? [] : [`- C echo itself takes ${spread(shares, '', 2)} of what ${server} takes.`];
  });
}

function latencyRows(latencies: readonly LatencyReading[]): string[] {
  const rates = [...new Set(latencies.map(({ rate }) => rate))];
  const servers = [...new Set(latencies.map(({ server }) => server))];
  return rates.flatMap((rate) =>
    servers.map((server) => {
      const own = latencies.filter((reading) => reading.rate === rate && reading.server === server);
      const cell = (of: (reading: LatencyReading) => number) => spread(own.map(of), '', 0);
      const lost = own.reduce((sum, reading) => sum + reading.lost, 0);
      return `| ${rate === undefined ? 'all that it takes' : `${rate.toLocaleString('en')}/s`} | ${server} | ${cell(({ perSecond }) => perSecond)} | ${cell(({ p50 }) => p50)} | ${cell(({ p99 }) => p99)} | ${cell(({ p999 }) => p999)} | ${lost} |`;
    }),
  );
}

function changeRows(changes: readonly ChangeReading[]): string[] {
  return [...new Set(changes.map(({ how }) => how))].map((how) => {
    const own = changes.filter((reading) => reading.how === how);
    const cell = (of: (reading: ChangeReading) => number) => spread(own.map(of), '', 0);
    const sum = (of: (reading: ChangeReading) => number) => own.reduce((all, reading) => all + of(reading), 0);
    const counts = [sum(({ swaps }) => swaps), sum(({ scrapes }) => scrapes)];
    const times = [cell(({ p50 }) => p50), cell(({ p99 }) => p99), cell(({ p999 }) => p999)];
    return `| ${[how, ...counts, ...times, sum(({ lost }) => lost)].join(' | ')} |`;
  });
}

function tcpRows(readings: readonly TcpReading[]): string[] {
  return [...new Set(readings.map(({ how }) => how))].map((how) => {
    const own = readings.filter((reading) => reading.how === how);
    const cell = (of: (reading: TcpReading) => number) => spread(own.map(of), '', 0);
    const lost = own.reduce((sum, reading) => sum + reading.lost, 0);
    return `| ${how} | ${cell(({ p50 }) => p50)} | ${cell(({ p99 }) => p99)} | ${lost} |`;
  });
}

/** An answer that is lost keeps its client waiting for longer than any. */
function tcpVerdicts(readings: readonly TcpReading[]): string[] {
  return (['no UDP traffic', 'UDP saturated'] as const).map((condition) => {
    const own = readings.filter(({ how }) => how === condition);
    const p99 = median(own.map((reading) => reading.p99).toSorted((a, b) => a - b)) ?? Number.NaN;
    const isWhole = own.every(({ lost }) => lost === 0);
    return verdict(`p99, ${condition}`, isWhole ? p99 / 1_000 : undefined, 'below', tcpGoals[condition], 'ms');
  });
}

export function changeVerdict(changes: readonly ChangeReading[]): string {
  const p99 = (how: string) => changes.filter((reading) => reading.how === how).map((reading) => reading.p99);
  const isChanged = changes.every(
    ({ how, swaps, scrapes }) => how === 'at rest' || Math.min(swaps, scrapes) >= changesPerReading - 1,
  );
  const atRest = p99('at rest');
  const ratios = p99('under change').map((micros, round) => micros / (atRest[round] ?? Number.NaN));
  return ratioVerdict('p99 while it is changed', isChanged ? ratios : [], 'below', changeGoal, 'p99 at rest');
}

/** One bar a server, of its median. */
function chart(costs: readonly CostReading[]): string {
  const own = costs.filter(({ load }) => load === cachedUdp);
  const bars = [...new Set(own.map(({ server }) => server))].map((server) => {
    const cpu = own.filter((reading) => reading.server === server).map(({ cpuMicros }) => cpuMicros);
    return { server, micros: median(cpu.toSorted((a, b) => a - b)) ?? 0 };
  });
  const [left, width, step] = [160, 420, 28];
  const most = Math.max(...bars.map(({ micros }) => micros));
  const rows = bars.map(({ server, micros }, at) => {
    const y = 40 + at * step;
    const length = Math.round((micros / most) * width);
    const fill = server.startsWith('LocalDNS') ? '#1f6feb' : '#8b949e';
    return [
      `  <text x="${left - 8}" y="${y + 14}" text-anchor="end">${server}</text>`,
      `  <rect x="${left}" y="${y}" width="${length}" height="18" fill="${fill}"/>`,
      `  <text x="${left + length + 6}" y="${y + 14}">${micros.toFixed(1)}</text>`,
    ].join('\n');
  });
  const height = 56 + bars.length * step;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${left + width + 80}" height="${height}" font-family="sans-serif" font-size="13">`,
    '  <rect width="100%" height="100%" fill="#ffffff"/>',
    '  <text x="8" y="22" font-weight="bold">CPU per cached UDP answer, µs (median)</text>',
    ...rows,
    '</svg>',
    '',
  ].join('\n');
}
