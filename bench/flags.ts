/** What the options of V8 that an agent runs with save and cost: agents with them and without, side by side. */
import { cpSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startAgent } from '../test/peers/agent.ts';
import type { Program } from '../test/peers/program.ts';
import type { RunFolder } from '../test/tools/run-folder.ts';
import { agentSpec } from './contenders.ts';
import { Load, newNames } from './dnsperf.ts';
import { spread } from './page.ts';

/** Of one process. */
export interface FlagReading {
  how: string;
  cpuMicros: { misses: number[]; cached: number[] };
  /** MiB, at once after the last question and when its garbage has been collected and given back. */
  filled: number;
  settled: number;
}

const root = resolve(import.meta.dirname, '..');
const processes = 2;
const rounds = 2;
const misses = 20_000;
const seconds = 1;
/** By then an agent has given back to the kernel what it does not use. */
const settleMs = 35_000;
const newSpace = /\{maxYoungGenerationSizeMb:[^}]*\}/;

export async function costOfFlags(
  folder: RunFolder,
  upstream: number,
  cached: string,
  say: (line: string) => void,
): Promise<FlagReading[]> {
  const running: { reading: FlagReading; program: Program }[] = [];
  try {
    const options = chartOptions(readFileSync(join(root, 'charts/localdns/templates/agent/daemonset.yaml'), 'utf8'));
    const dist = join(root, 'dist');
    const ways = [
      { how: 'as in a cluster', from: dist, options },
      { how: `without \`${options}\``, from: dist, options: '' },
      { how: 'without `maxYoungGenerationSizeMb` of the second thread', from: withoutLimit(folder, dist), options },
    ];
    for (const [at, { how, from, options: own }] of Array.from({ length: processes }, () => ways)
      .flat()
      .entries()) {
      const program = await startAgent(folder, upstream, {
        ...{ name: `flags-${at}`, spec: agentSpec(), env: { NODE_OPTIONS: own } },
        program: [process.execPath, join(from, 'localdns.js')],
      });
      running.push({ reading: { how, cpuMicros: { misses: [], cached: [] }, filled: 0, settled: 0 }, program });
      await new Load(folder, program.port, cached, ['-n', '2']).ended();
    }
    // The first round only warms them up.
    for (let round = 0; round <= rounds; round += 1) {
      for (const { program, reading } of running) {
        const [missed, hit] = [
          await cpuMicros(program, new Load(folder, program.port, newNames(folder, misses), ['-q', '100'])),
          await cpuMicros(
            program,
            new Load(folder, program.port, cached, ['-n', '1000000', '-l', `${seconds}`, '-q', '100']),
          ),
        ];
        if (round === 0) continue;
        reading.cpuMicros.misses.push(missed);
        reading.cpuMicros.cached.push(hit);
        reading.filled = program.residentMebibytes();
      }
    }
    await delay(settleMs);
    for (const { program, reading } of running) reading.settled = program.residentMebibytes();
    const readings = running.map(({ reading }) => reading);
    for (const reading of readings) say(`flags: ${JSON.stringify(reading)}`);
    return readings;
  } finally {
    for (const { program } of running) await program.stop();
  }
}

/** What the chart gives Node. */
export function chartOptions(daemonSet: string): string {
  const [, options] = /name: NODE_OPTIONS\n\s+value: (\S+)/.exec(daemonSet) ?? [];
  if (options === undefined)
    throw new Error('the chart gives the agent no NODE_OPTIONS: this bench has nothing to measure');
  return options;
}

/** The limit stands in the program, which has no option for it: a copy of the bundle goes without. */
function withoutLimit(folder: RunFolder, dist: string): string {
  const copy = join(folder.path, 'dist-without-limit');
  cpSync(dist, copy, { recursive: true });
  const files = globSync('*.js', { cwd: copy }).map((name) => join(copy, name));
  const limited = files.filter((path) => newSpace.test(readFileSync(path, 'utf8')));
  if (limited.length === 0) throw new Error('no file of the bundle limits the new space of the second thread');
  for (const path of limited) writeFileSync(path, readFileSync(path, 'utf8').replace(newSpace, '{}'));
  return copy;
}

/** An answer. */
async function cpuMicros(program: Program, load: Load): Promise<number> {
  const before = program.cpuMs();
  const { answered } = await load.ended();
  return ((program.cpuMs() - before) * 1000) / answered;
}

export function flagSection(readings: readonly FlagReading[]): string[] {
  const groups = Map.groupBy(readings, ({ how }) => how);
  return [
    '',
    '### Options of V8',
    '',
    `LocalDNS, bundled, with the options of V8 that it has in a cluster, and without each of them: ${processes} processes each, which take turns for`,
    `${rounds} rounds of ${misses.toLocaleString('en')} new names and as many cached answers as ${seconds} s takes. Memory at once after that, and ${settleMs / 1000} s later. A limit of the`,
    'heap is there for a leak, which shall end the agent and not the pods beside it: it need not save anything, but it must not cost either.',
    '',
    '| | RSS after the load | RSS later | CPU per miss | CPU per cached answer |',
    '|---|---|---|---|---|',
    ...[...groups].map(([how, own]) => {
      const cells = [
        spread(
          own.map(({ filled }) => filled),
          'MiB',
        ),
        spread(
          own.map(({ settled }) => settled),
          'MiB',
        ),
        spread(
          own.flatMap((reading) => reading.cpuMicros.misses),
          'µs',
          2,
        ),
        spread(
          own.flatMap((reading) => reading.cpuMicros.cached),
          'µs',
          2,
        ),
      ];
      return `| ${[how, ...cells].join(' | ')} |`;
    }),
  ];
}
