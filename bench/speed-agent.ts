/** What of `npm run bench -- speed` concerns our agent alone: while it is changed, and what it leaves to the collector. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { writeProfile } from '../test/peers/agent.ts';
import type { Program } from '../test/peers/program.ts';
import type { RunFolder } from '../test/tools/run-folder.ts';
import { Load, newNames } from './dnsperf.ts';

export interface Subject {
  folder: RunFolder;
  program: Program;
  /** Of its files in the folder. */
  name: string;
  spec: object;
  metricsPort: number;
  /** The file of names that it has cached. */
  cached: string;
}

export interface ChangeReading {
  how: 'at rest' | 'under change';
  round: number;
  /** Configurations that were put in force meanwhile, and scrapes. */
  swaps: number;
  scrapes: number;
  lost: number;
  /** Microseconds. */
  p50: number;
  p99: number;
  p999: number;
}

export interface GarbageReading {
  hits: number;
  /** Scavenges and full collections of the thread that serves. */
  scavenges: number;
  collections: number;
  bytesPerHit: number;
  /** By so much the heap grew from one scavenge to the next, in all: what a full collection takes away later is in it. */
  grownMebibytes?: number;
  /** What is left of its heap after the first scavenge and after the last. */
  heapMebibytes: [number, number];
}

/** Of names that nobody has asked for, over TCP. */
export interface TcpReading {
  how: 'no UDP traffic' | 'UDP saturated';
  round: number;
  lost: number;
  /** Microseconds. */
  p50: number;
  p99: number;
}

const ratePerSecond = 20_000;
const tcpPerSecond = 200;
const tcpRounds = 3;
const rounds = 4;
const seconds = 5;
/** One each second. */
export const changesPerReading = seconds;
const hits = 10_000_000;

export async function latenciesUnderChange(subject: Subject, say: (line: string) => void): Promise<ChangeReading[]> {
  const readings: ChangeReading[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    for (const how of ['at rest', 'under change'] as const) {
      const stop = how === 'at rest' ? async () => ({ swaps: 0, scrapes: 0 }) : changing(subject, round);
      const more = ['-n', '1000000', '-l', String(seconds), '-Q', String(ratePerSecond), '-q', '1000', '-v'];
      const { at, lost } = await new Load(subject.folder, subject.program.port, subject.cached, more).latencies();
      const reading = { how, round, ...(await stop()), lost, p50: at(0.5), p99: at(0.99), p999: at(0.999) };
      say(
        `${how}: p50 ${reading.p50} p99 ${reading.p99} p99.9 ${reading.p999} µs, ${reading.swaps} swaps, ${lost} lost`,
      );
      readings.push(reading);
    }
  }
  return readings;
}

/** Both transports are served by one loop: neither may wait for the other. */
export async function latenciesOverTcp(subject: Subject, say: (line: string) => void): Promise<TcpReading[]> {
  const { folder, program, cached } = subject;
  const readings: TcpReading[] = [];
  for (let round = 1; round <= tcpRounds; round += 1) {
    for (const how of ['no UDP traffic', 'UDP saturated'] as const) {
      const flood = ['-n', '1000000', '-l', String(seconds + 1), '-q', '1000'];
      const flooding = how === 'UDP saturated' ? new Load(folder, program.port, cached, flood).ended() : undefined;
      await delay(500);
      const file = newNames(folder, tcpPerSecond * seconds);
      const more = ['-m', 'tcp', '-Q', String(tcpPerSecond), '-q', '100', '-v'];
      const { at, lost } = await new Load(folder, program.port, file, more).latencies();
      const reading = { how, round, lost, p50: at(0.5), p99: at(0.99) };
      say(`over TCP, ${how}: p50 ${reading.p50} p99 ${reading.p99} µs, ${lost} lost`);
      readings.push(reading);
      await flooding;
    }
  }
  return readings;
}

/** Another configuration and a scrape each second, until it is stopped. */
function changing(subject: Subject, round: number): () => Promise<{ swaps: number; scrapes: number }> {
  let scrapes = 0;
  let edit = 0;
  const before = applied(subject);
  const timer = setInterval(() => {
    edit += 1;
    const hosts = [{ addresses: ['192.0.2.1'], hostnames: [`round-${round}-${edit}.bench.example`] }];
    writeProfile(subject.folder, subject.name, { ...subject.spec, hosts });
    void scrape(subject).then(() => {
      scrapes += 1;
    });
  }, 1_000);
  return async () => {
    clearInterval(timer);
    await delay(500);
    return { swaps: (await applied(subject)) - (await before), scrapes };
  };
}

async function scrape({ metricsPort }: Subject): Promise<string> {
  return (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
}

async function applied(subject: Subject): Promise<number> {
  return Number(/^localdns_configurations_total\{outcome="applied"\} (\d+)$/m.exec(await scrape(subject))?.[1]);
}

/** Of an agent that was started with --trace-gc, which writes to its log. */
export async function garbageOfHits(
  { folder, program, cached, name }: Subject,
  say: (line: string) => void,
): Promise<GarbageReading> {
  const log = join(folder.path, `${name}.log`);
  const linesBefore = traceOf(log).length;
  let answered = 0;
  while (answered < hits) {
    const { answered: more } = await new Load(folder, program.port, cached, [
      '-n',
      '1000000',
      '-l',
      '10',
      '-q',
      '100',
    ]).ended();
    answered += more;
  }
  const trace = traceOf(log).slice(linesBefore);
  // The thread that serves is the one that has something to collect.
  const counts = new Map<string, number>();
  for (const { isolate } of trace) counts.set(isolate, (counts.get(isolate) ?? 0) + 1);
  const [busiest] = [...counts].sort(([, a], [, b]) => b - a)[0] ?? [''];
  const own = trace.filter(({ isolate }) => isolate === busiest);
  const allocated = own.slice(1).reduce((sum, { before }, at) => sum + before - (own[at]?.after ?? 0), 0);
  const grownMebibytes = own.reduce((sum, { isFull, after }, at) => {
    const before = own[at - 1];
    return isFull || before === undefined ? sum : sum + after - before.after;
  }, 0);
  const reading: GarbageReading = {
    hits: answered,
    scavenges: own.filter(({ isFull }) => !isFull).length,
    collections: own.filter(({ isFull }) => isFull).length,
    bytesPerHit: (allocated * 2 ** 20) / answered,
    grownMebibytes,
    heapMebibytes: [own[0]?.after ?? Number.NaN, own.at(-1)?.after ?? Number.NaN],
  };
  say(`garbage: ${JSON.stringify(reading)}`);
  return reading;
}

/** In MiB, of lines like `[1:0x7f]  12 ms: Scavenge 9.1 (14.2) -> 8.2 (15.0) MB`. */
function traceOf(log: string) {
  const line = /^\[\d+:(0x[0-9a-f]+)(?::\d+)?\].*?(Scavenge|Mark-Compact)[^\d]* ([\d.]+) \([\d.]+\) -> ([\d.]+) \(/gm;
  return [...readFileSync(log, 'utf8').matchAll(line)].map(([, isolate = '', kind, before, after]) => ({
    isolate,
    isFull: kind === 'Mark-Compact',
    before: Number(before),
    after: Number(after),
  }));
}
