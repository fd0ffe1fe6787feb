export interface BackoffRange {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * Exponential backoff with jitter: each step doubles, up to maxMs, and is then spread over [1, 1.5) of itself (within
 * maxMs), so that five thousand agents which lost the same API server do not come back in the same millisecond.
 */
export class Backoff {
  readonly #range: BackoffRange;
  readonly #random: () => number;
  #failures = 0;

  constructor(range: BackoffRange, random: () => number) {
    this.#range = range;
    this.#random = random;
  }

  /** The delay before the next try, in milliseconds; counts one more failure. */
  nextMs(): number {
    const { minMs, maxMs } = this.#range;
    // 2 ** 30 is past every range in use; the bound keeps a year of failures from overflowing into Infinity.
    const baseMs = Math.min(maxMs, minMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return Math.min(maxMs, baseMs * (1 + this.#random() / 2));
  }

  reset(): void {
    this.#failures = 0;
  }
}
