/** A page of results is written from samples that are kept beside it, so that it can be written anew without another run. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export class ResultsPage<Samples> {
  readonly #name: string;
  readonly #report: (taken: Samples) => string;

  /** @param name of the bench: the page is `results-NAME.md` */
  constructor(name: string, report: (taken: Samples) => string) {
    this.#name = name;
    this.#report = report;
  }

  /** Keeps the samples, and writes the page from what was kept. */
  write(taken: Samples): void {
    const path = join(import.meta.dirname, `samples/${this.#name}/samples.json`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${JSON.stringify(taken)}\n`);
    const kept = JSON.parse(readFileSync(path, 'utf8')) as Samples;
    writeFileSync(join(import.meta.dirname, `results-${this.#name}.md`), this.#report(kept));
  }
}

/** Of a goal. */
export type Bound = 'below' | 'at most';

/** The median, and in brackets the lowest and the highest. */
export function spread(readings: readonly number[], unit: string, digits = 1): string {
  const sorted = readings.toSorted((a, b) => a - b);
  const text = (value: number | undefined) => (value ?? Number.NaN).toFixed(digits);
  return `${text(median(sorted))}${unit === '' ? '' : ` ${unit}`} [${text(sorted[0])}, ${text(sorted.at(-1))}]`;
}

/**
 * What of another server's CPU ours takes. Within a round the machine is about the same for both, so it is taken round by round. Where ours
 * has lost answers it meets no goal.
 */
export function shareVerdict(
  readings: readonly { server: string; cpuMicros: number; lost?: number }[],
  server: string,
  goal: number,
): string {
  const shares = sharesOf(readings, 'LocalDNS', server);
  const share = median(shares.toSorted((a, b) => a - b));
  const hasLost = readings.some((reading) => reading.server === 'LocalDNS' && (reading.lost ?? 0) > 0);
  const words = goalWords(hasLost ? undefined : share, 'at most', goal);
  return `- LocalDNS takes ${spread(shares, '', 2)} of what ${server} takes; ${words}.`;
}

/** By rounds. */
export function sharesOf(
  readings: readonly { server: string; cpuMicros: number }[],
  one: string,
  other: string,
): number[] {
  const cpu = (name: string) => readings.filter((reading) => reading.server === name).map(({ cpuMicros }) => cpuMicros);
  const others = cpu(other);
  return cpu(one).map((own, round) => own / (others[round] ?? Number.NaN));
}

/** @param value that was measured; absent where it could not be, which meets no goal */
export function verdict(what: string, value: number | undefined, bound: Bound, goal: number, unit: string): string {
  return `- ${what}: ${(value ?? Number.NaN).toFixed(2)} ${unit}; ${goalWords(value, bound, goal)}.`;
}

/** @param ratios round by round: within one the machine is about the same for both; none where they could not be measured */
export function ratioVerdict(what: string, ratios: readonly number[], bound: Bound, goal: number, of: string): string {
  const ratio = median(ratios.toSorted((a, b) => a - b));
  return `- ${what}: ${spread(ratios, '', 2)} of ${of}; ${goalWords(ratio, bound, goal)}.`;
}

function goalWords(value = Number.NaN, bound: Bound, goal: number): string {
  const isMet = bound === 'below' ? value < goal : value <= goal;
  return `the goal, ${bound} ${goal}, is ${isMet ? 'met' : 'missed'}`;
}

export function median(sorted: number[]): number | undefined {
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.ceil((sorted.length - 1) / 2)]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
}
