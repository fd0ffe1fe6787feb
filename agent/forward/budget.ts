import type { Clock } from '../clock.ts';

export interface BudgetBounds {
  /** Queries a second on the long run. */
  perSecond: number;
  /** Queries at once after a pause. */
  burst: number;
}

/** How often the servers of one owner may be asked, all together: a token bucket. */
export class Budget {
  readonly #bounds: BudgetBounds;
  readonly #clock: Clock;
  /** Why nothing was sent, for people. */
  readonly exceeded: string;
  #left: number;
  #atMs: number;

  /** @param owner the name of the upstream, for people */
  constructor(owner: string, bounds: BudgetBounds, clock: Clock) {
    this.#bounds = bounds;
    this.#clock = clock;
    this.exceeded = `the budget of ${owner}, ${bounds.perSecond} queries a second, is used up (queryBudget)`;
    this.#left = bounds.burst;
    this.#atMs = clock.nowMs();
  }

  /** False: not now. */
  take(): boolean {
    const { perSecond, burst } = this.#bounds;
    const nowMs = this.#clock.nowMs();
    this.#left = Math.min(burst, this.#left + ((nowMs - this.#atMs) / 1_000) * perSecond);
    this.#atMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
