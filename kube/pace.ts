import { type Clock, sleep } from './clock.ts';
import { UnreachableError } from './errors.ts';

/** So much of what was not used lately may be made up for at once: a lone change waits for nobody. */
const BURST_MS = 100;

/** Turns at a bounded rate, in the order in which they were asked for (a generic cell rate: one number says it all). */
export class Pace {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #abort = new AbortController();
  /** When the next turn comes, had nobody been idle. */
  #dueMs = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number, clock: Clock) {
    this.#clock = clock;
    this.#intervalMs = 1000 / perSecond;
  }

  /** Resolves when it is the caller's turn; rejects once there are no more turns. */
  async turn(): Promise<void> {
    const nowMs = this.#clock.nowMs();
    this.#dueMs = Math.max(this.#dueMs, nowMs - BURST_MS);
    const waitMs = this.#dueMs - nowMs;
    this.#dueMs += this.#intervalMs;
    if (waitMs > 0) await sleep(this.#clock, waitMs, this.#abort.signal);
    if (this.#abort.signal.aborted) throw new UnreachableError('not sent: this client writes no more');
  }

  close(): void {
    this.#abort.abort();
  }
}
