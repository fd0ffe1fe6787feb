/** Where the time of an answer goes: what perf samples of an agent that is asked all the while. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { startAgent } from '../test/peers/agent.ts';
import { findProgram } from '../test/tools/find.ts';
import type { RunFolder } from '../test/tools/run-folder.ts';
import { variants } from './agent-process.ts';
import { agentSpec } from './contenders.ts';
import { Load } from './dnsperf.ts';

export interface ProfileReading {
  /** Parts of the process's time, which add up to 1. */
  parts: { part: 'kernel' | 'our JavaScript' | 'Node and C libraries'; share: number }[];
  /** The functions of ours that take most. */
  functions: { name: string; share: number }[];
  /** While it was sampled. */
  cpuMicros: number;
}

const warmSeconds = 4;
const seconds = 8;
const functionsShown = 12;

/**
 * Undefined where there is no perf, or where it may not look.
 *
 * @param namesFor a file of names to ask for so long
 */
export async function profileOf(
  folder: RunFolder,
  upstream: number,
  namesFor: (seconds: number) => string,
  say: (line: string) => void,
): Promise<ProfileReading | undefined> {
  const perf = findProgram('perf');
  if (perf === undefined) return undefined;
  const [node, ...bundled] = variants.bundled;
  const name = 'profiled';
  const program = await startAgent(folder, upstream, {
    ...{ name, spec: agentSpec() },
    program: [node, '--perf-basic-prof-only-functions', ...bundled],
  });
  try {
    const load = (forSeconds: number) =>
      new Load(folder, program.port, namesFor(forSeconds), [
        ...['-n', '1000000', '-l', String(forSeconds), '-q', '100'],
      ]).ended();
    await load(warmSeconds);
    const data = join(folder.path, 'perf.data');
    const sampled = ['-p', String(program.pid), '-o', data, '--', 'sleep', String(seconds)];
    const recorder = spawn(perf, ['record', '-q', '-e', 'cpu-clock', '-F', '4000', ...sampled], { stdio: 'ignore' });
    const before = program.cpuMs();
    const [{ answered }, [code]] = await Promise.all([load(seconds), once(recorder, 'exit') as Promise<[number]>]);
    if (code !== 0) return undefined;
    const cpuMicros = ((program.cpuMs() - before) * 1000) / answered;
    const report = ['report', '-i', data, '--no-children', '--sort', 'dso,sym', '-F', 'overhead,dso,sym', '-t', '\t'];
    const text = execFileSync(perf, report, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 1e8 });
    const reading = { ...readProfile(text), cpuMicros };
    say(`profile: ${JSON.stringify(reading)}`);
    return reading;
  } finally {
    await program.stop();
    rmSync(`/tmp/perf-${program.pid}.map`, { force: true });
  }
}

/** Of lines of `perf report`: a share, where the code is, and its name; of ours like `JS:*'parse file:///…`. */
export function readProfile(text: string): Omit<ProfileReading, 'cpuMicros'> {
  const shares = { kernel: 0, 'our JavaScript': 0, 'Node and C libraries': 0 };
  const functions = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [percent = '', where = '', symbol = ''] = line.split('\t').map((cell) => cell.trim());
    const share = Number.parseFloat(percent) / 100;
    if (line.startsWith('#') || Number.isNaN(share)) continue;
    const own = /JS:[*^+~]?'?(.*?) ?file:/.exec(symbol)?.[1];
    if (own) functions.set(own, (functions.get(own) ?? 0) + share);
    if (where.startsWith('[kernel')) shares.kernel += share;
    else if (own !== undefined) shares['our JavaScript'] += share;
    else shares['Node and C libraries'] += share;
  }
  const total = Object.values(shares).reduce((sum, share) => sum + share, 0);
  const parts = Object.entries(shares).map(([part, share]) => ({
    part: part as keyof typeof shares,
    share: share / total,
  }));
  const most = [...functions].sort(([, a], [, b]) => b - a).slice(0, functionsShown);
  return { parts, functions: most.map(([name, share]) => ({ name, share: share / total })) };
}
