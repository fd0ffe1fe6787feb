import type { Clock } from '../clock.ts';

export interface BudgetBounds {
  /** Queries a second on the long run. */
  perSecond: number;
  /** Queries at once after a pause. */
  burst: number;
}

/** So much of the burst, in whole queries and one at least, is kept for clients that ask for less than an equal part, or come anew. */
const keptPart = 1 / 4;
/** So much of the rate is no client's own, so that whoever comes anew finds something left beside floods; more beside a single one. */
const sparedPart = 1 / 20;
const sparedByOne = 1 / 2;
/** A client counts as one for so long after its last query. */
const clientMs = 1_000;
/** Clients that are told apart; above that those that asked last share what there is. */
const maxClients = 1_024;

interface Bucket {
  left: number;
  atMs: number;
}

/**
 * How often the servers of one owner may be asked, all together: a token bucket. The last of it is for clients within their equal
 * part of the rate, so that one client's flood takes what the others leave, and no more.
 */
export class Budget {
  readonly #bounds: BudgetBounds;
  readonly #clock: Clock;
  /** Why nothing was sent, for people. */
  readonly exceeded: string;
  readonly #all: Bucket;
  readonly #kept: number;
  /** Each may take its part of the rate; the one that asked longest ago comes first. */
  readonly #clients = new Map<string, Bucket>();

  /** @param owner the name of the upstream, for people */
  constructor(owner: string, bounds: BudgetBounds, clock: Clock) {
    this.#bounds = bounds;
    this.#clock = clock;
    this.exceeded = `the budget of ${owner}, ${bounds.perSecond} queries a second, is used up (queryBudget)`;
    this.#all = { left: bounds.burst, atMs: clock.nowMs() };
    this.#kept = Math.max(1, Math.floor(bounds.burst * keptPart));
  }

  /** That have asked a moment ago. */
  get clients(): number {
    return this.#clients.size;
  }

  /** False: not now. @param client on whose behalf, by address */
  take(client: string): boolean {
    const { perSecond, burst } = this.#bounds;
    const nowMs = this.#clock.nowMs();
    const own = this.#bucketOf(client, nowMs);
    const clients = this.#clients.size;
    fill(this.#all, perSecond, burst, nowMs);
    const spared = clients === 1 ? sparedByOne : sparedPart;
    fill(own, (perSecond * (1 - spared)) / clients, Math.max(1, burst / clients), nowMs);
    if (this.#all.left < 1) return false;
    // Of a burst of one nothing is kept from who is alone: that would be half of the rate.
    const kept = clients === 1 ? Math.min(this.#kept, burst - 1) : this.#kept;
    if (own.left < 1 && this.#all.left - 1 < kept) return false;
    this.#all.left -= 1;
    own.left = Math.max(0, own.left - 1);
    return true;
  }

  #bucketOf(client: string, nowMs: number): Bucket {
    const own = this.#clients.get(client) ?? { left: this.#bounds.burst, atMs: nowMs };
    this.#clients.delete(client);
    for (const [other, { atMs }] of this.#clients) {
      if (nowMs - atMs < clientMs && this.#clients.size < maxClients) break;
      this.#clients.delete(other);
    }
    this.#clients.set(client, own);
    return own;
  }
}

function fill(bucket: Bucket, perSecond: number, most: number, nowMs: number): void {
  bucket.left = Math.min(most, bucket.left + ((nowMs - bucket.atMs) / 1_000) * perSecond);
  bucket.atMs = nowMs;
}
