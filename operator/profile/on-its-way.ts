import type { Clock } from '../../kube/clock.ts';

/** A watch that lags for longer than that may as well have lost something. */
const LOST_AFTER_MS = 10_000;

/**
 * Writes whose outcome the stores do not show yet. To write again what is on its way costs a request for nothing, and one that names the
 * version that was seen is refused.
 */
export class OnItsWay {
  readonly #clock: Clock;
  /** By what is written; `seen` is the version that the decision was made on. */
  readonly #sent = new Map<string, { readonly seen: unknown; readonly untilMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether it was written on the version that still is all that is known of it, a moment ago. */
  has(what: string, seen: unknown): boolean {
    const sent = this.#sent.get(what);
    if (sent === undefined) return false;
    if (sent.seen === seen && this.#clock.nowMs() < sent.untilMs) return true;
    this.#sent.delete(what);
    return false;
  }

  /** The store shows another version: what comes after it may be as what was seen before, an object that is not there for one. */
  arrived(what: string): void {
    this.#sent.delete(what);
  }

  /** From before the request goes out: the watch may be quicker than the answer. A request that fails has sent nothing. */
  async send<T>(what: string, seen: unknown, request: () => Promise<T>): Promise<T> {
    this.#sent.set(what, { seen, untilMs: this.#clock.nowMs() + LOST_AFTER_MS });
    try {
      return await request();
    } catch (error) {
      this.#sent.delete(what);
      throw error;
    }
  }

  /** When to look again at what was left alone because of it. */
  readonly lookAgainMs = LOST_AFTER_MS;

  clear(): void {
    this.#sent.clear();
  }
}
