/**
 * `npm run bench -- speed`: what an answer costs, beside other servers and beside a program that only sends back what came. Needs dnsperf of
 * Debian and the CoreDNS of `npm run tools`; of the others those take part that there are (unbound, dnsmasq-base, gcc, linux-perf).
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { startAgent } from '../test/peers/agent.ts';
import { startEveryName } from '../test/peers/coredns.ts';
import { freePort, type Program } from '../test/peers/program.ts';
import { lacking } from '../test/tools/find.ts';
import { RunFolder } from '../test/tools/run-folder.ts';
import { bundle, variants } from './agent-process.ts';
import {
  agentSpec,
  atRates,
  cachedOnce,
  cachedTcp,
  cachedUdp,
  missesUdp,
  mixedUdp,
  startContenders,
  takes,
} from './contenders.ts';
import { inOtherCases, Load, newNames } from './dnsperf.ts';
import { costOfFlags } from './flags.ts';
import { lineUp } from './line-up.ts';
import { costAtLowRates } from './low-rates.ts';
import { circumstances } from './sample.ts';
import { garbageOfHits, latenciesOverTcp, latenciesUnderChange, type Subject } from './speed-agent.ts';
import { profileOf } from './speed-profile.ts';
import { type CostReading, keepSpeedSamples, type LatencyReading } from './speed-results.ts';

export const speedBench = 'speed';

const rounds = 4;
const seconds = 2;
const timed = ['-n', '1000000', '-l', String(seconds)];
const oftenAsked = [...timed, '-q', '100'];
const names = 1_000;
/** Of each server and round: nobody has asked for them before. */
const misses = 30_000;
/** More than any server has answered in a second, so that no name comes twice. */
const mostMisses = 60_000;
/** Cached and new ones in the mixed load. */
const newPart = 0.1;
const mixedQueries = 60_000;
/** Of each cached name: more queries than any server answers in a second. */
const cases = 120;
const latencyRounds = 3;
/** What was asked has been collected and given back by then. */
const idleRestMs = 35_000;
const idleMs = 30_000;
/** Infinity: as many as it takes. */
const ratesPerSecond = [1_000, 20_000, 50_000, Number.POSITIVE_INFINITY] as const;

/** One of its own, whose collector tells what it does. */
async function subjectOf(folder: RunFolder, upstream: number, cached: string): Promise<Subject> {
  const [node, ...bundled] = variants.bundled;
  const name = 'subject';
  const metricsPort = await freePort();
  const spec = agentSpec();
  const program = await startAgent(folder, upstream, {
    ...{ name, spec, metricsPort },
    program: [node, '--trace-gc', ...bundled],
  });
  await new Load(folder, program.port, cached, ['-n', '2']).ended();
  return { folder, program, name, spec, metricsPort, cached };
}

export async function benchSpeed(say: (line: string) => void): Promise<void> {
  const lacks = lacking(['dnsperf', 'coredns']);
  if (lacks.length > 0) throw new Error(lacks.map(({ message }) => message).join('; '));
  bundle();
  const folder = new RunFolder('bench');
  const running = new Map<string, Program>();
  try {
    const upstream = await startEveryName(folder);
    const absent = await startContenders(folder, upstream.port, running);
    for (const lack of absent) say(`absent: ${lack}`);
    const cached = newNames(folder, names);
    for (const { port } of running.values()) await new Load(folder, port, cached, ['-n', '2']).ended();
    const load = new Load(folder, upstream.port, cached, oftenAsked);
    await load.ended();
    const participants = lineUp(folder, running, upstream, load);
    const costs = await costOfAnswers(folder, running, cached, say);
    const latencies = await latenciesAtRates(folder, running, cached, say);
    const lowRates = await costAtLowRates(folder, running, cached, say);
    const idle = await idleCpu(running, say);
    const resident = [...running].map(([server, program]) => ({ server, mebibytes: program.residentMebibytes() }));
    const subject = await subjectOf(folder, upstream.port, cached);
    running.set('subject', subject.program);
    const changes = await latenciesUnderChange(subject, say);
    const overTcp = await latenciesOverTcp(subject, say);
    const garbage = await garbageOfHits(subject, say);
    const profile = await profileOf(folder, upstream.port, () => cached, say);
    const everNew = (forSeconds: number) => newNames(folder, forSeconds * mostMisses);
    const missProfile = await profileOf(folder, upstream.port, everNew, say);
    const flags = await costOfFlags(folder, upstream.port, cached, say);
    const figures = { costs, latencies, lowRates, idle, resident, changes, overTcp, garbage, flags };
    const taken = { circumstances: circumstances(new Date()), participants, absent };
    keepSpeedSamples({ ...taken, ...figures, ...(profile && { profile }), ...(missProfile && { missProfile }) });
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
  const manyCases = inOtherCases(folder, cached, cases);
  const loads: Readonly<Record<string, () => [string, readonly string[]]>> = {
    [cachedUdp]: () => [cached, oftenAsked],
    [cachedOnce]: () => [manyCases, oftenAsked],
    [cachedTcp]: () => [cached, [...timed, '-m', 'tcp', '-q', '400']],
    [missesUdp]: () => [newNames(folder, misses), ['-q', '100']],
    [mixedUdp]: () => [mixedNames(folder, cached), ['-q', '100']],
  };
  // The first two rounds only warm them up.
  for (let round = -1; round <= rounds; round += 1) {
    for (const [load, make] of Object.entries(loads)) {
      for (const [server, program] of running) {
        if (!takes(server, load)) continue;
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
      const load = Number.isFinite(rate) ? ['-Q', String(rate), '-q', '1000'] : ['-q', '100'];
      for (const [server, program] of running) {
        if (!takes(server, atRates)) continue;
        const more = ['-n', '1000000', '-l', '2', ...load, '-v'];
        const { at, lost, perSecond } = await new Load(folder, program.port, cached, more).latencies();
        // JSON has no infinity.
        const asked = Number.isFinite(rate) ? { rate } : {};
        const reading = { server, round, ...asked, perSecond, lost, p50: at(0.5), p99: at(0.99), p999: at(0.999) };
        say(`${rate}/s: ${server} p50 ${reading.p50} p99 ${reading.p99} p99.9 ${reading.p999} µs, ${lost} lost`);
        readings.push(reading);
        await delay(100);
      }
    }
  }
  return readings;
}
