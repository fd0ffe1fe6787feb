/**
 * `npm run bench -- speed`: what an answer from the cache costs, beside other servers and beside a program that only sends back what
 * came. Needs unbound, dnsperf, dnsmasq-base and gcc of Debian, and the CoreDNS of `npm run tools`.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startAgent } from '../test/peers/agent.ts';
import { startCoreDns, startEveryName } from '../test/peers/coredns.ts';
import { freePort, Program } from '../test/peers/program.ts';
import { startForwarder } from '../test/peers/unbound.ts';
import { findProgram, lacking } from '../test/tools/find.ts';
import { RunFolder } from '../test/tools/run-folder.ts';
import { bundle, variants } from './agent-process.ts';
import { Load, newNames } from './dnsperf.ts';
import { circumstances } from './sample.ts';
import { garbageOfHits, latenciesUnderChange, type Subject } from './speed-agent.ts';
import { type CostReading, type LatencyReading, speedResults } from './speed-results.ts';

export const speedBench = 'speed';

const rounds = 6;
const seconds = 3;
const names = 1_000;
/** Cached and new ones in the mixed load. */
const newPart = 0.1;
const mixedQueries = 60_000;
const latencyRounds = 3;
/** What was asked has been collected and given back by then. */
const idleRestMs = 35_000;
const idleMs = 30_000;
const ratesPerSecond = [1_000, 20_000, 50_000] as const;

type Start = (folder: RunFolder, upstream: number) => Promise<Program>;

const servers: Readonly<Record<string, Start>> = {
  'C echo': async (folder) => {
    const port = await freePort();
    const command = join(folder.path, 'echo');
    execFileSync('gcc', ['-O2', '-o', command, join(import.meta.dirname, 'echo.c')]);
    return Program.start(folder, { name: 'echo', command, args: [String(port)], port });
  },
  LocalDNS: (folder, upstream) => agent(folder, upstream, 'bundled'),
  'LocalDNS from source': (folder, upstream) => agent(folder, upstream, 'from source'),
  unbound: (folder, upstream) => startForwarder(folder, upstream, ['tcp-upstream: yes']),
  dnsmasq: async (folder, upstream) => {
    const port = await freePort();
    const args = [
      '--keep-in-foreground',
      '--no-resolv',
      '--no-hosts',
      '--bind-interfaces',
      '--listen-address=127.0.0.1',
    ];
    const own = ['--conf-file=/dev/null', '--pid-file', '--user=root', '--cache-size=10000', '--dns-forward-max=1000'];
    return Program.start(folder, {
      ...{ name: 'dnsmasq', command: findProgram('dnsmasq') ?? 'dnsmasq', port },
      args: [...args, ...own, `--port=${port}`, `--server=127.0.0.1#${upstream}`],
    });
  },
  CoreDNS: (folder, upstream) =>
    startCoreDns(folder, 'coredns', ['cache 3600', `forward . 127.0.0.1:${upstream} {`, '  force_tcp', '}']),
};

/** What it cannot, or what would say nothing: an echo has no cache, and no TCP. */
const leftOut: Readonly<Record<string, readonly string[]>> = {
  'cached, TCP': ['C echo'],
  'mixed, UDP': ['C echo'],
};

const spec = {
  kubeDNSOverrides: { '.': { protocol: 'ForceTCP', forwardDestination: 'ClusterCoreDNS' } },
  cache: { warmRestart: false },
};

function agent(folder: RunFolder, upstream: number, variant: keyof typeof variants): Promise<Program> {
  return startAgent(folder, upstream, {
    name: `agent-${variant.replaceAll(' ', '-')}`,
    spec,
    program: variants[variant],
  });
}

/** One of its own, whose collector tells what it does. */
async function subjectOf(folder: RunFolder, upstream: number, cached: string): Promise<Subject> {
  const [node, ...bundled] = variants.bundled;
  const name = 'subject';
  const metricsPort = await freePort();
  const program = await startAgent(folder, upstream, {
    ...{ name, spec, metricsPort },
    program: [node, '--trace-gc', ...bundled],
  });
  await new Load(folder, program.port, cached, ['-n', '2']).ended();
  return { folder, program, name, spec, metricsPort, cached };
}

export async function benchSpeed(say: (line: string) => void): Promise<void> {
  const lacks = lacking(['unbound', 'dnsperf', 'coredns', 'dnsmasq', 'gcc']);
  if (lacks.length > 0) throw new Error(lacks.map(({ message }) => message).join('; '));
  bundle();
  const folder = new RunFolder('bench');
  const running = new Map<string, Program>();
  try {
    const upstream = await startEveryName(folder);
    for (const [name, start] of Object.entries(servers)) running.set(name, await start(folder, upstream.port));
    const cached = newNames(folder, names);
    for (const { port } of running.values()) await new Load(folder, port, cached, ['-n', '2']).ended();
    const costs = await costOfAnswers(folder, running, cached, say);
    const latencies = await latenciesAtRates(folder, running, cached, say);
    const idle = await idleCpu(running, say);
    const resident = [...running].map(([server, program]) => ({ server, mebibytes: program.residentMebibytes() }));
    const subject = await subjectOf(folder, upstream.port, cached);
    running.set('subject', subject.program);
    const changes = await latenciesUnderChange(subject, say);
    const garbage = await garbageOfHits(subject, say);
    const taken = { circumstances: circumstances(new Date()), costs, latencies, idle, resident, changes, garbage };
    speedResults.write(taken);
    say('bench/results-speed.md is written');
    await upstream.stop();
  } finally {
    for (const program of running.values()) await program.stop();
    await folder.remove();
  }
}

/** Of all of them at once: nobody asks anybody. */
async function idleCpu(running: ReadonlyMap<string, Program>, say: (line: string) => void) {
  await delay(idleRestMs);
  const before = new Map([...running].map(([server, program]) => [server, program.cpuMs()]));
  await delay(idleMs);
  return [...running].map(([server, program]) => {
    const percent = ((program.cpuMs() - (before.get(server) ?? 0)) / idleMs) * 100;
    say(`idle: ${server} ${percent.toFixed(2)} % of a core`);
    return { server, percent };
  });
}

/** The servers take turns in short rounds, so that what else the machine does meets all of them. */
async function costOfAnswers(
  folder: RunFolder,
  running: ReadonlyMap<string, Program>,
  cached: string,
  say: (line: string) => void,
): Promise<CostReading[]> {
  const readings: CostReading[] = [];
  const timed = ['-n', '1000000', '-l', String(seconds)];
  const loads: Readonly<Record<string, () => [string, readonly string[]]>> = {
    'cached, UDP': () => [cached, [...timed, '-q', '100']],
    'cached, TCP': () => [cached, [...timed, '-m', 'tcp', '-q', '400']],
    'mixed, UDP': () => [mixedNames(folder, cached), ['-q', '100']],
  };
  // The first round only warms them up.
  for (let round = 0; round <= rounds; round += 1) {
    for (const [load, make] of Object.entries(loads)) {
      for (const [server, program] of running) {
        if (leftOut[load]?.includes(server)) continue;
        const [file, more] = make();
        const before = program.cpuMs();
        const { answered, lost, perSecond } = await new Load(folder, program.port, file, more).ended();
        const cpuMicros = ((program.cpuMs() - before) * 1000) / answered;
        say(`${load}: ${server} ${cpuMicros.toFixed(2)} µs an answer, ${perSecond} a second, ${lost} lost`);
        if (round > 0) readings.push({ load, server, round, cpuMicros, perSecond, lost });
      }
    }
  }
  return readings;
}

/** Nine of ten from the file of names that are cached. */
function mixedNames(folder: RunFolder, cached: string): string {
  const file = newNames(folder, mixedQueries * newPart);
  const [known, fresh] = [Load.namesIn(cached), Load.namesIn(file)];
  const every = Math.round(1 / newPart);
  const lines = Array.from({ length: mixedQueries }, (_, at) =>
    at % every === 0 ? fresh[at / every] : known[at % known.length],
  );
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

async function latenciesAtRates(
  folder: RunFolder,
  running: ReadonlyMap<string, Program>,
  cached: string,
  say: (line: string) => void,
): Promise<LatencyReading[]> {
  const readings: LatencyReading[] = [];
  for (let round = 1; round <= latencyRounds; round += 1) {
    for (const rate of ratesPerSecond) {
      for (const [server, program] of running) {
        const more = ['-n', '1000000', '-l', '2', '-Q', String(rate), '-q', '1000', '-v'];
        const { micros, lost, perSecond } = await new Load(folder, program.port, cached, more).latencies();
        const at = (part: number) => micros[Math.floor(micros.length * part)] ?? Number.NaN;
        const reading = { server, round, rate, perSecond, lost, p50: at(0.5), p99: at(0.99), p999: at(0.999) };
        say(`${rate}/s: ${server} p50 ${reading.p50} p99 ${reading.p99} p99.9 ${reading.p999} µs, ${lost} lost`);
        readings.push(reading);
        await delay(100);
      }
    }
  }
  return readings;
}
