/** So much of the bound is kept for clients that have less than an equal part of it. */
const keptPart = 1 / 4;

/** What one client has in flight. */
export interface ClientShare {
  readonly client: string;
  held: number;
}

/** The queries that clients have in flight, against one bound, so that one client's flood leaves room for the others. */
export class ClientShares {
  #bound = 0;
  #open = 0;
  readonly #held = new Map<string, ClientShare>();
  #inFlight = 0;
  readonly #tell: (more: number) => void;

  /**
   * @param bound in all; 0 for none
   * @param tell of each change of what is in flight
   */
  constructor(bound: number, tell: (more: number) => void = () => {}) {
    this.bound = bound;
    this.#tell = tell;
  }

  get bound(): number {
    return this.#bound;
  }

  /** What is in flight by now stays so. */
  set bound(bound: number) {
    this.#bound = bound;
    this.#open = bound - Math.floor(bound * keptPart);
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * Whether this client's next query is one too many, and for what: all of them, or one client's share.
   * @param count as many as it counts for
   */
  excess(client: string, count = 1): 'all' | 'share' | undefined {
    if (this.#bound === 0 || this.#inFlight + count <= this.#open) return undefined;
    if (this.#inFlight + count > this.#bound) return 'all';
    // One more than there are: whoever comes next finds room as well.
    const share = Math.max(count, Math.floor(this.#bound / (this.#held.size + 1)));
    return this.heldBy(client) + count <= share ? undefined : 'share';
  }

  heldBy(client: string): number {
    return this.#held.get(client)?.held ?? 0;
  }

  /** @returns what is to be given back to {@link leave} */
  enter(client: string, count = 1): ClientShare {
    this.#inFlight += count;
    this.#tell(count);
    let share = this.#held.get(client);
    if (share === undefined) {
      share = { client, held: 0 };
      this.#held.set(client, share);
    }
    share.held += count;
    return share;
  }

  leave(share: ClientShare, count = 1): void {
    this.#inFlight -= count;
    this.#tell(-count);
    share.held -= count;
    if (share.held === 0) this.#held.delete(share.client);
  }
}
