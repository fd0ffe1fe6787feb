/** What events have cost, as a table for people and as rows for a bench. */
import { appendFileSync } from 'node:fs';
import type { Goal } from './goals.ts';
import type { Outcome } from './ordeal.ts';

/** One line of the table of results. */
export interface Row {
  event: string;
  proxy: string;
  sent: number;
  lost: number;
  /** First and last, in milliseconds after the event. */
  lostBetween: [number, number] | undefined;
  worstMs: number;
  /** The same of a client that asks past the node. */
  noiseMs: number;
  slow: number;
  cuts: number;
  tracked: number;
  goals: string[];
  failures: string[];
  /** Every query that was lost or slow, and every connection that ended: times in milliseconds after the event. */
  samples: { untilMs: number; lost: number[]; slow: [number, number][]; cuts: [number, string, number][] };
}

/** Something that was measured beside. */
export interface Fact {
  what: string;
  proxy: string;
  value: string;
}

/** The rows of a test file; printed at its end, and kept where a bench asks for them. */
export class Results {
  readonly #rows: Row[] = [];
  readonly #facts: Fact[] = [];

  /** @returns what was not as it should be */
  note(event: string, proxy: string, outcome: Outcome, goals: readonly Goal[]): string[] {
    const { atMs, untilMs, lost, slow, cuts } = outcome;
    const failures = goals.flatMap((goal) => goal.failure(outcome) ?? []);
    const [first, last] = [lost[0], lost.at(-1)];
    this.#rows.push({
      ...{ event, proxy, sent: outcome.sent, lost: lost.length },
      lostBetween: first && last && [first.sentAtMs - atMs, last.sentAtMs - atMs],
      ...{ worstMs: outcome.worstMs, noiseMs: outcome.noise.worstMs },
      ...{ slow: slow.length, cuts: cuts.length, tracked: outcome.tracked.length },
      ...{ goals: goals.map(({ words }) => words), failures },
      samples: {
        untilMs: untilMs - atMs,
        lost: lost.map(({ sentAtMs }) => sentAtMs - atMs),
        slow: slow.map(({ sentAtMs, ms }) => [sentAtMs - atMs, Math.round(ms)]),
        cuts: cuts.map((cut) => [cut.atMs - atMs, cut.how, cut.unanswered]),
      },
    });
    return failures;
  }

  /** What no row has room for: how long something took. */
  fact(what: string, proxy: string, value: string): void {
    this.#facts.push({ what, proxy, value });
  }

  /** @param keepIn a file to which each row is appended as a line of JSON */
  print(keepIn = process.env.LOCALDNS_DATAPATH_ROWS): void {
    for (const { what, proxy, value } of this.#facts) console.log(`${proxy}: ${what}: ${value}`);
    if (this.#rows.length > 0) console.log(`\n${table(this.#rows)}`);
    if (keepIn === undefined) return;
    for (const one of [...this.#facts, ...this.#rows]) appendFileSync(keepIn, `${JSON.stringify(one)}\n`);
  }
}

export function table(rows: readonly Row[]): string {
  return [
    '| event | kube-proxy | queries | lost | sent, ms after | worst ms | past the node | ≥ 50 ms | connections ended | tracked | goals met |',
    '|---|---|---|---|---|---|---|---|---|---|---|',
    ...rows.map((row) => {
      const { event, proxy, sent, lost, lostBetween, worstMs, noiseMs, slow, cuts, tracked, failures } = row;
      const cells = [event, proxy, sent, lost, lostBetween?.join(' to ') ?? '-', worstMs, noiseMs, slow, cuts, tracked];
      return `| ${[...cells, failures.length === 0 ? 'yes' : `no: ${failures.join('; ')}`].join(' | ')} |`;
    }),
  ].join('\n');
}
