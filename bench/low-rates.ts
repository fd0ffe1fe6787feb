/** What a cached answer costs a server that is asked as seldom as most nodes ask: then each query wakes it, and none shares the way with another. */
import type { Program } from '../test/peers/program.ts';
import type { RunFolder } from '../test/tools/run-folder.ts';
import { atLowRates, takes } from './contenders.ts';
import { Load } from './dnsperf.ts';
import { spread } from './page.ts';

export interface LowRateReading {
  rate: number;
  server: string;
  round: number;
  cpuMicros: number;
  lost: number;
}

interface Rate {
  readonly perSecond: number;
  /** A reading of processor time is good to 10 ms: of few answers it needs many seconds. */
  readonly seconds: number;
  readonly rounds: number;
  /** Else in turns. So seldom that the servers are not in each other's way. */
  readonly isAtOnce: boolean;
}

const rates: readonly Rate[] = [
  { perSecond: 2_000, seconds: 4, rounds: 3, isAtOnce: false },
  { perSecond: 200, seconds: 20, rounds: 2, isAtOnce: true },
];

export async function costAtLowRates(
  folder: RunFolder,
  running: ReadonlyMap<string, Program>,
  cached: string,
  say: (line: string) => void,
): Promise<LowRateReading[]> {
  const asked = [...running].filter(([server]) => takes(server, atLowRates));
  const readings: LowRateReading[] = [];
  for (const { perSecond: rate, seconds, rounds, isAtOnce } of rates) {
    const turns = isAtOnce ? [asked] : asked.map((one) => [one]);
    const more = ['-n', '1000000', '-l', String(seconds), '-Q', String(rate), '-q', '100'];
    const reading = async (server: string, program: Program, round: number): Promise<LowRateReading> => {
      const before = program.cpuMs();
      const { answered, lost } = await new Load(folder, program.port, cached, more).ended();
      const cpuMicros = ((program.cpuMs() - before) * 1000) / answered;
      say(`${rate}/s: ${server} ${cpuMicros.toFixed(1)} µs an answer, ${lost} lost`);
      return { rate, server, round, cpuMicros, lost };
    };
    for (let round = 1; round <= rounds; round += 1) {
      for (const turn of turns) {
        readings.push(...(await Promise.all(turn.map(([server, program]) => reading(server, program, round)))));
      }
    }
  }
  return readings;
}

export function lowRateSection(readings: readonly LowRateReading[]): string[] {
  const groups = Map.groupBy(readings, ({ rate, server }) => `| ${rate.toLocaleString('en')}/s | ${server} |`);
  return [
    '',
    '### Cached answers that are seldom asked for',
    '',
    'CPU per answer over UDP at rates as nodes have them. Each query wakes the server by itself, which finds the caches of the processor with',
    'what others have left there; and what a server does besides, asked or not, falls on few answers.',
    '',
    '| asked | server | CPU per answer | lost |',
    '|---|---|---|---|',
    ...[...groups].map(([name, own]) => {
      const cpu = own.map(({ cpuMicros }) => cpuMicros);
      return `${name} ${spread(cpu, 'µs')} | ${own.reduce((sum, { lost }) => sum + lost, 0)} |`;
    }),
  ];
}
