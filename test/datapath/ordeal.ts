/** One event while pods ask, what it cost them, and whether that is within the goals. */
import { appendFileSync } from 'node:fs';
import { clusterListeners, type Lab, nodeListeners, serviceAddresses } from './lab.ts';
import { forgetConnections, type TrackedConnection, trackedDns } from './node-state.ts';
import { type Account, slowMs, Traffic, type TrafficOptions } from './traffic.ts';

/** When the event was, by the wall clock. */
export interface Moments {
  atMs: number;
  /** When it was over, where it lasts: a process is gone only some time after it was killed. */
  untilMs?: number;
}

export interface Outcome extends Account, Required<Moments> {
  /** Connections that the node tracks though the agent answered them. */
  tracked: TrackedConnection[];
}

export interface OrdealOptions extends TrafficOptions {
  /** How long the load is on before and after the event. */
  beforeMs?: number;
  afterMs?: number;
}

const usual = { beforeMs: 600, afterMs: 1_400 };
const answeredByUs: ReadonlySet<string> = new Set(
  [serviceAddresses, clusterListeners, nodeListeners].flatMap((addresses) => Object.values(addresses)),
);

export async function underLoad(lab: Lab, options: OrdealOptions, event: () => Promise<Moments>): Promise<Outcome> {
  const { beforeMs = usual.beforeMs, afterMs = usual.afterMs, ...load } = options;
  await forgetConnections(lab.node);
  const traffic = await Traffic.start(load);
  await pause(beforeMs);
  const { atMs, untilMs = Date.now() } = await event();
  await pause(afterMs);
  const account = await traffic.stop();
  const tracked = (await trackedDns(lab.node)).filter(isOfAgent);
  return { ...account, atMs, untilMs, tracked };
}

/** Translated ones took the way through kube-proxy or through our fallback. */
function isOfAgent({ source, destination, answeredBy, isAnswer }: TrackedConnection): boolean {
  return isAnswer ? answeredByUs.has(source) : answeredByUs.has(destination) && answeredBy === destination;
}

export interface Goal {
  words: string;
  /** What was not as it should be; undefined where all was. */
  failure(outcome: Outcome): string | undefined;
}

export const nothingLost: Goal = {
  words: 'none lost',
  failure: (outcome) => (outcome.lost.length > 0 ? `${outcome.lost.length} lost: ${whenLost(outcome)}` : undefined),
};

/** Lost are only queries sent at these times, in milliseconds after the event. */
export function lostOnlyBetween(words: string, from: number, to: (outcome: Outcome) => number): Goal {
  return {
    words,
    failure: (outcome) => {
      const others = outcome.lost.filter(({ sentAtMs }) => {
        return sentAtMs < outcome.atMs + from || sentAtMs > outcome.atMs + to(outcome);
      });
      return others.length > 0 ? `${others.length} more lost: ${whenLost({ ...outcome, lost: others })}` : undefined;
    },
  };
}

/** What a dying process held: sent before its sockets were closed, which is before its parent hears of its end. */
export const lostOnlyWhatWasHeld = lostOnlyBetween('lost only what the dying process held', -100, heldUntil);

function heldUntil({ atMs, untilMs }: Outcome): number {
  return untilMs - atMs + 5;
}

export const fast = fastAfter(Number.NEGATIVE_INFINITY, `answered within ${slowMs} ms`);

/** @param fromMs after the event: what was sent before may take its time */
export function fastAfter(fromMs: number, words = `sent ${fromMs} ms after it or later: within ${slowMs} ms`): Goal {
  return {
    words,
    failure: ({ slow, atMs }) => {
      const late = slow.filter(({ sentAtMs }) => sentAtMs >= atMs + fromMs);
      const shown = late.slice(0, 5).map(({ sentAtMs, ms }) => `${Math.round(ms)} ms at ${sentAtMs - atMs}`);
      return late.length > 0 ? `${late.length} slow: ${shown.join(', ')}` : undefined;
    },
  };
}

export const untracked: Goal = {
  words: 'no connection tracked',
  failure: ({ tracked }) =>
    tracked.length > 0 ? `${tracked.length} tracked: ${JSON.stringify(tracked[0])}` : undefined,
};

export const connectionsSurvive: Goal = {
  words: 'every connection goes on',
  failure: ({ cuts, atMs }) => {
    const shown = cuts
      .slice(0, 5)
      .map(({ how, atMs: cutAtMs, unanswered }) => `${how} at ${cutAtMs - atMs} (${unanswered})`);
    return cuts.length > 0 ? `${cuts.length} ended: ${shown.join(', ')}` : undefined;
  },
};

/** Every answer is one of these data, for a name that ends so. */
export function answered(ending: string, data: readonly string[]): Goal {
  return {
    words: `${ending}: ${data.join(' or ')}`,
    failure: ({ answers }) => {
      const wrong = [...answers.keys()].filter((answer) => {
        const [name = '', ...rest] = answer.split(' ');
        return name.endsWith(ending) && !data.includes(rest.join(' '));
      });
      return wrong.length > 0 ? `answered ${wrong.slice(0, 5).join('; ')}` : undefined;
    },
  };
}

export const rightAnswers: Goal = {
  words: 'NOERROR',
  failure: ({ answers }) => {
    const wrong = [...answers].filter(([answer]) => !answer.includes(' NOERROR '));
    return wrong.length > 0
      ? `answered ${wrong.map(([answer, count]) => `${count} × ${answer}`).join('; ')}`
      : undefined;
  },
};

function whenLost({ lost, atMs }: Outcome): string {
  const shown = lost
    .slice(0, 6)
    .map(({ sentAtMs, transport, server }) => `${sentAtMs - atMs} (${transport} ${server})`);
  return `sent ${shown.join(', ')}${lost.length > 6 ? ', …' : ''} ms after the event`;
}

/** One line of the table of results. */
export interface Row {
  event: string;
  proxy: string;
  sent: number;
  lost: number;
  /** First and last, in milliseconds after the event. */
  lostBetween: [number, number] | undefined;
  worstMs: number;
  slow: number;
  cuts: number;
  tracked: number;
  goals: string[];
  failures: string[];
  /** Every query that was lost or slow, and every connection that ended: times in milliseconds after the event. */
  samples: { lost: number[]; slow: [number, number][]; cuts: [number, string, number][] };
}

/** The rows of a test file; printed at its end, and kept where a bench asks for them. */
export class Results {
  readonly #rows: Row[] = [];

  /** @returns what was not as it should be */
  note(event: string, proxy: string, outcome: Outcome, goals: readonly Goal[]): string[] {
    const { atMs, lost, slow, cuts } = outcome;
    const failures = goals.flatMap((goal) => goal.failure(outcome) ?? []);
    const [first, last] = [lost[0], lost.at(-1)];
    const row: Row = {
      ...{ event, proxy, sent: outcome.sent, lost: lost.length },
      lostBetween: first && last && [first.sentAtMs - atMs, last.sentAtMs - atMs],
      ...{ worstMs: outcome.worstMs, slow: slow.length, cuts: cuts.length, tracked: outcome.tracked.length },
      ...{ goals: goals.map(({ words }) => words), failures },
      samples: {
        lost: lost.map(({ sentAtMs }) => sentAtMs - atMs),
        slow: slow.map(({ sentAtMs, ms }) => [sentAtMs - atMs, Math.round(ms)]),
        cuts: cuts.map((cut) => [cut.atMs - atMs, cut.how, cut.unanswered]),
      },
    };
    this.#rows.push(row);
    return failures;
  }

  /** @param keepIn a file to which each row is appended as a line of JSON */
  print(keepIn = process.env.LOCALDNS_DATAPATH_ROWS): void {
    console.log(table(this.#rows));
    if (keepIn !== undefined) for (const row of this.#rows) appendFileSync(keepIn, `${JSON.stringify(row)}\n`);
  }
}

export function table(rows: readonly Row[]): string {
  return [
    '| event | kube-proxy | queries | lost | sent, ms after | worst ms | ≥ 50 ms | connections ended | tracked | goals met |',
    '|---|---|---|---|---|---|---|---|---|---|',
    ...rows.map(({ event, proxy, sent, lost, lostBetween, worstMs, slow, cuts, tracked, failures }) => {
      const cells = [event, proxy, sent, lost, lostBetween?.join(' to ') ?? '-', worstMs, slow, cuts, tracked];
      return `| ${[...cells, failures.length === 0 ? 'yes' : `no: ${failures.join('; ')}`].join(' | ')} |`;
    }),
  ].join('\n');
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
