/** What an event may cost. */
import type { Moments, Outcome } from './ordeal.ts';
import { slowMs } from './traffic.ts';

export interface Goal {
  words: string;
  /** What was not as it should be; undefined where all was. */
  failure(outcome: Outcome): string | undefined;
}

export const nothingLost: Goal = {
  words: 'none lost',
  failure: (outcome) => (outcome.lost.length > 0 ? `${outcome.lost.length} lost: ${whenLost(outcome)}` : undefined),
};

export function lostAtMost(count: number): Goal {
  return {
    words: `at most ${count} lost`,
    failure: (outcome) =>
      outcome.lost.length > count ? `${outcome.lost.length} lost: ${whenLost(outcome)}` : undefined,
  };
}

export const lostNoDatagram: Goal = {
  words: 'none lost over UDP',
  failure: (outcome) => {
    const lost = outcome.lost.filter(({ transport }) => transport === 'udp');
    return lost.length > 0 ? `${lost.length} lost over UDP: ${whenLost({ ...outcome, lost })}` : undefined;
  },
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

/** How long interception may go on after an agent hangs: `alive` times out after 1.5 s. */
export const lapsedMs = 1_600;
export const lostOnlyUntilLapsed = lostOnlyBetween(`lost only before ${lapsedMs} ms`, -slowMs, () => lapsedMs);

/** Processes of this machine that note the same moment. */
const clockMs = 5;

/** What a dying process held: sent before its sockets were closed, which is before its parent hears of its end. */
export const lostOnlyWhatWasHeld = lostOnlyBetween(
  'lost only what the dying process held',
  -slowMs,
  ({ atMs, untilMs }) => untilMs - atMs + clockMs,
);

/** What was slow before was not the event's doing. */
export const fast = fastAfter(-slowMs, `answered within ${slowMs} ms`);

/** @param fromMs after the event: what was sent before may take its time */
export function fastAfter(fromMs: number, words = `sent ${fromMs} ms after it or later: within ${slowMs} ms`): Goal {
  return {
    words,
    failure: ({ slow, atMs, noise }) => {
      const late = slow.filter(({ sentAtMs }) => sentAtMs >= atMs + fromMs);
      const shown = late
        .slice(0, 5)
        .map(
          ({ sentAtMs, ms, transport, server }) =>
            `${Math.round(ms)} ms at ${sentAtMs - atMs} (${transport} ${server})`,
        );
      const control = `past the node the slowest took ${Math.round(noise.worstMs)} ms`;
      return late.length > 0 ? `${late.length} slow: ${shown.join(', ')}; ${control}` : undefined;
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
  failure: (outcome) => (outcome.cuts.length > 0 ? `${outcome.cuts.length} ended: ${whenCut(outcome)}` : undefined),
};

/** Where connections end in good order, nobody can answer a query that crosses the end on its way: its client knows at once. */
export const lostOnlyCrossing: Goal = {
  words: 'lost only what crosses the end of its connection, one in each',
  failure: (outcome) => {
    const others = outcome.lost.filter(({ transport }) => transport === 'udp');
    if (others.length > 0) return `${others.length} lost over UDP: ${whenLost({ ...outcome, lost: others })}`;
    const cuts = outcome.cuts.filter(({ unanswered }) => unanswered > 1);
    if (cuts.length > 0) return `ended with more under way: ${whenCut({ ...outcome, cuts })}`;
    return outcome.lost.length > outcome.cuts.length ? `${outcome.lost.length} lost: ${whenLost(outcome)}` : undefined;
  },
};

/** Between a client's query and the news, already on its way, that its connection has ended; both have to wait for a processor. */
const crossingMs = 100;

/** The same of a client that asks often: several may be on their way. */
export const lostOnlyAtTheEnd: Goal = {
  words: `lost only over TCP, sent less than ${crossingMs} ms before the end of the connection`,
  failure: ({ lost, cuts, atMs }) => {
    const crosses = ({ client, transport, server, sentAtMs }: Outcome['lost'][number]) =>
      transport === 'tcp' &&
      cuts.some((cut) => {
        const untilEndMs = cut.atMs - sentAtMs;
        return cut.client === client && cut.server === server && untilEndMs >= 0 && untilEndMs < crossingMs;
      });
    return toldOf(
      lost.filter((one) => !crosses(one)),
      atMs,
    );
  },
};

/** What a process holds on a busy machine when it dies: one that has just started is behind. */
export const heldMs = 500;
/** The client of a pod notes a moment, and the test hears of a death, each a little late. */
const hearsayMs = 20;

/** Of several deaths: lost is only what one of the dying processes held. */
export function lostOnlyWhatTheDyingHeld(deaths: readonly Moments[]): Goal {
  return {
    words: 'lost only what a dying process held',
    failure: ({ lost, atMs }) => {
      const isHeld = ({ sentAtMs }: Outcome['lost'][number]) =>
        deaths.some((death) => sentAtMs > death.atMs - heldMs && sentAtMs < (death.untilMs ?? death.atMs) + hearsayMs);
      return toldOf(
        lost.filter((one) => !isHeld(one)),
        atMs,
      );
    },
  };
}

/** Every connection that the dying process held ends with it: its client need not wait to learn that. */
export const connectionsEndAtOnce: Goal = {
  words: 'connections to the dying process end with it',
  failure: (outcome) => {
    const { cuts, untilMs, connections } = outcome;
    const late = cuts.filter(({ atMs }) => atMs > untilMs + slowMs);
    if (late.length > 0) return `${late.length} ended late: ${whenCut({ ...outcome, cuts: late })}`;
    return cuts.length < connections ? `only ${cuts.length} of ${connections} ended` : undefined;
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

/** Not of the agent, but of the measurement: without load nothing can be lost. */
export function asked(perSecond: number): Goal {
  return {
    words: `${perSecond} queries a second of each client`,
    failure: ({ sentBy, loadMs }) => {
      const rates = [...sentBy].map(([client, sent]) => ({ client, rate: sent / (loadMs / 1_000) }));
      const lazy = rates.filter(({ rate }) => rate < perSecond);
      if (rates.length === 0) return 'nobody asked';
      return lazy.length > 0
        ? lazy.map(({ client, rate }) => `${client} asked ${rate.toFixed(1)} a second`).join('; ')
        : undefined;
    },
  };
}

function toldOf(others: Outcome['lost'], atMs: number): string | undefined {
  return others.length > 0 ? `${others.length} more lost: ${whenLost({ lost: others, atMs })}` : undefined;
}

function whenLost({ lost, atMs }: Pick<Outcome, 'lost' | 'atMs'>): string {
  const shown = lost
    .slice(0, 6)
    .map(({ sentAtMs, transport, server }) => `${sentAtMs - atMs} (${transport} ${server})`);
  return `sent ${shown.join(', ')}${lost.length > 6 ? ', …' : ''} ms after the event`;
}

function whenCut({ cuts, atMs }: Outcome): string {
  return cuts
    .slice(0, 5)
    .map(({ how, atMs: cutAtMs, unanswered }) => `${how} at ${cutAtMs - atMs} (${unanswered} under way)`)
    .join(', ');
}
