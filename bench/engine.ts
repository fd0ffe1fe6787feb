/**
 * `npm run bench -- engine`: what the agent's engine costs, beside CoreDNS and unbound doing the same in the same minutes. Needs
 * unbound and dnsperf of Debian, and the CoreDNS of `npm run tools`.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DnsLoad } from '../test/cluster/dns-load.ts';
import { startAgent } from '../test/peers/agent.ts';
import { startCoreDns, startEveryName } from '../test/peers/coredns.ts';
import type { Program } from '../test/peers/program.ts';
import { startForwarder } from '../test/peers/unbound.ts';
import { lacking } from '../test/tools/find.ts';
import { RunFolder } from '../test/tools/run-folder.ts';
import { bundle, variants } from './agent-process.ts';
import { Load, newNames } from './dnsperf.ts';
import { engineResults, type FloodReading, type MemoryReading, type MissReading } from './engine-results.ts';
import { policyCost } from './policy-cost.ts';
import { circumstances } from './sample.ts';

export const engineBench = 'engine';

const missRounds = 6;
const missNames = 30_000;
const floodRounds = 3;
const floodMs = 4_000;
const floodPerSecond = 5_000;
const popularNames = 200;
const popularPerSecond = 500;
const memoryCases = [
  { names: 10_000, maxBytes: '32Mi' },
  { names: 100_000, maxBytes: '32Mi' },
  { names: 100_000, maxBytes: '8Mi' },
] as const;

type Start = (folder: RunFolder, upstream: number) => Promise<Program>;

const forceTcp = { '.': { protocol: 'ForceTCP', forwardDestination: 'ClusterCoreDNS' } };

/** All forward over TCP, and keep what they are told. */
const servers = {
  LocalDNS: (folder, upstream) => startBundled(folder, upstream, '32Mi'),
  unbound: (folder, upstream) => startForwarder(folder, upstream, ['tcp-upstream: yes']),
  CoreDNS: (folder, upstream) => startCoreDns(folder, 'coredns', ['cache 3600', ...forwarding(upstream)]),
} as const satisfies Record<string, Start>;

/** What a miss costs one that keeps nothing, and has less to do. */
const missServers: Readonly<Record<string, Start>> = {
  ...servers,
  'CoreDNS, no cache': (folder, upstream) => startCoreDns(folder, 'coredns-no-cache', forwarding(upstream)),
};

function forwarding(upstream: number): string[] {
  return [`forward . 127.0.0.1:${upstream} {`, '  force_tcp', '}'];
}

export async function benchEngine(say: (line: string) => void): Promise<void> {
  const lacks = lacking(['unbound', 'dnsperf', 'coredns']);
  if (lacks.length > 0) throw new Error(lacks.map(({ message }) => message).join('; '));
  bundle();
  const folder = new RunFolder('bench');
  try {
    const misses = await missCost(folder, say);
    const flood = await floodLatency(folder, say);
    const memory = await memoryOfNames(folder, say);
    const policies = await policyCost(say);
    engineResults.write({ circumstances: circumstances(new Date()), misses, flood, memory, policies });
    say('bench/results-engine.md is written');
  } finally {
    await folder.remove();
  }
}

/** The servers take turns in short rounds, so that what else the machine does meets all of them. */
async function missCost(folder: RunFolder, say: (line: string) => void): Promise<MissReading[]> {
  const upstream = await startEveryName(folder);
  const running = await startAll(folder, upstream, missServers);
  const readings: MissReading[] = [];
  // The first round only warms them up.
  for (let round = 0; round <= missRounds; round += 1) {
    for (const [server, program] of running) {
      const names = newNames(folder, missNames);
      const before = program.cpuMs();
      const { answered, lost, perSecond } = await new Load(folder, program.port, names, ['-q', '100']).ended();
      const cpuMicros = ((program.cpuMs() - before) * 1000) / answered;
      say(`${server}: ${cpuMicros.toFixed(1)} µs a miss, ${perSecond} a second, ${lost} lost`);
      if (round > 0) readings.push({ server, round, cpuMicros, perSecond, lost });
    }
  }
  await stopAll([upstream, ...running.values()]);
  return readings;
}

async function floodLatency(folder: RunFolder, say: (line: string) => void): Promise<FloodReading[]> {
  const upstream = await startEveryName(folder);
  const running = await startAll(folder, upstream, servers);
  const popular = Array.from({ length: popularNames }, (_, at) => `popular-${at}.services.bench.example`);
  const readings: FloodReading[] = [];
  for (let round = 0; round <= floodRounds; round += 1) {
    for (const [server, program] of running) {
      for (const isFlooded of [false, true]) {
        const names = newNames(folder, (floodPerSecond * floodMs) / 1000 + floodPerSecond);
        const flood = isFlooded ? new Load(folder, program.port, names, ['-Q', String(floodPerSecond)]) : undefined;
        // The flood has begun when the popular names are asked for.
        await delay(500);
        const load = new DnsLoad({
          ...{ server: '127.0.0.1', port: program.port, names: popular },
          ...{ perSecond: popularPerSecond, slowMs: 0 },
        });
        await delay(floodMs - 500);
        const { sent, lost, slow, worstMs } = await load.stop();
        await flood?.ended();
        const p99Ms = slow[Math.floor(sent / 100)]?.ms ?? Number.NaN;
        say(
          `${server}${isFlooded ? ', flooded' : ''}: p99 ${p99Ms.toFixed(1)} ms, worst ${worstMs} ms, ${lost} lost of ${sent}`,
        );
        if (round > 0) readings.push({ server, isFlooded, p99Ms, worstMs, sent, lost });
      }
    }
  }
  await stopAll([upstream, ...running.values()]);
  return readings;
}

async function memoryOfNames(folder: RunFolder, say: (line: string) => void): Promise<MemoryReading[]> {
  const upstream = await startEveryName(folder);
  const readings: MemoryReading[] = [];
  for (const { names, maxBytes } of memoryCases) {
    const agent = await startBundled(folder, upstream.port, maxBytes);
    const emptyMebibytes = agent.residentMebibytes();
    const { answered } = await new Load(folder, agent.port, newNames(folder, names), ['-q', '100']).ended();
    await delay(2_000);
    const fullMebibytes = agent.residentMebibytes();
    say(`${names} names, budget ${maxBytes}: ${emptyMebibytes.toFixed(1)} → ${fullMebibytes.toFixed(1)} MiB`);
    readings.push({ names: answered, maxBytes, emptyMebibytes, fullMebibytes });
    await agent.stop();
  }
  await upstream.stop();
  return readings;
}

/** As the image has it. */
function startBundled(folder: RunFolder, upstream: number, maxBytes: string): Promise<Program> {
  const spec = { kubeDNSOverrides: forceTcp, cache: { maxBytes, warmRestart: false } };
  return startAgent(folder, upstream, { spec, program: variants.bundled });
}

async function startAll(
  folder: RunFolder,
  upstream: Program,
  which: Readonly<Record<string, Start>>,
): Promise<Map<string, Program>> {
  const running = new Map<string, Program>();
  for (const [name, start] of Object.entries(which)) running.set(name, await start(folder, upstream.port));
  return running;
}

async function stopAll(programs: readonly Program[]): Promise<void> {
  for (const program of programs) await program.stop();
}
