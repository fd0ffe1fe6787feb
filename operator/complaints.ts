import type { Clock } from '../kube/clock.ts';
import type { Trouble } from '../kube/store.ts';
import type { Log } from './log.ts';
import { factsOf } from './profile/duty.ts';
import type { Classified } from './runtime/errors.ts';

/** The same failure of many keys is one line so often, with how many more there were. */
const REPEAT_AFTER_MS = 60_000;

/**
 * Says what is wrong once: four stores that lose the same API server are one line, and so are five thousand nodes that
 * cannot be written for the same reason.
 */
export class Complaints {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #troubles = new Map<string, Trouble>();
  readonly #failures = new Map<string, { saidMs: number; more: number }>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** A store met trouble, or is rid of it (undefined). */
  store(plural: string, trouble: Trouble | undefined): void {
    if (trouble === undefined) {
      this.#troubles.delete(plural);
      if (this.#troubles.size === 0) this.#log.info('following the API server again');
      return;
    }
    const isKnown = [...this.#troubles.values()].some((other) => sameTrouble(other, trouble));
    this.#troubles.set(plural, trouble);
    if (!isKnown) this.#log.warn({ code: trouble.code }, `${trouble.message}; retrying`);
  }

  /** A reconcile failed; `retryAfterMs` undefined: it is not repeated. */
  reconcile(key: string, { failure, code, message }: Classified, retryAfterMs: number | undefined): void {
    if (failure === 'conflict') {
      this.#log.debug({ ...factsOf(key), code, retryAfterMs }, message);
      return;
    }
    // What the API server says of a profile is news to whoever wrote it: one whose status is refused has no other place.
    const { profile } = factsOf(key);
    const isOwn = profile !== undefined && code.startsWith('KUBE_API_');
    const more = this.#unsaid(isOwn ? `${code} ${profile}` : code);
    if (more === undefined) return;
    const fields = {
      ...factsOf(key),
      code,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      ...(more === 0 ? {} : { more }),
    };
    if (failure === 'terminal' || code === 'INTERNAL') this.#log.error(fields, message);
    else this.#log.warn(fields, message);
  }

  /** How many such failures went unsaid since the last line; undefined where this one shall too. */
  #unsaid(code: string): number | undefined {
    const nowMs = this.#clock.nowMs();
    const before = this.#failures.get(code);
    if (before !== undefined && nowMs - before.saidMs < REPEAT_AFTER_MS) {
      before.more += 1;
      return undefined;
    }
    this.#failures.set(code, { saidMs: nowMs, more: 0 });
    return before?.more ?? 0;
  }
}

/** Two missing kinds or two missing rights are two errands; one API server that is away is one. */
function sameTrouble(a: Trouble, b: Trouble): boolean {
  const isOwnErrand = a.code === 'KUBE_RESOURCE_MISSING' || a.code === 'KUBE_API_403';
  return a.code === b.code && (!isOwnErrand || a.message === b.message);
}
