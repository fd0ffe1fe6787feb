import type { TcpQuery } from './tcp-query.ts';

/** What leaves in one segment. */
export interface Batch {
  /** Infinity until then: what we have not sent holds nothing up. */
  leftAtMs: number;
  /** Messages, and the ids that they get. */
  readonly messages: Buffer[];
  readonly ids: number[];
}

/** A query on one connection. */
export class Sent {
  readonly id: number;
  readonly query: TcpQuery;
  readonly batch: Batch;
  /** The how-manieth on its connection. */
  readonly order: number;
  readonly withKeepalive: boolean;
  /** It was out on another connection already. */
  readonly isRepeated: boolean;
  /** Those that were sent before and after it; the next one with an id that leads to the same place. */
  older: Sent | undefined;
  newer: Sent | undefined;
  chained: Sent | undefined;

  constructor(id: number, query: TcpQuery, batch: Batch, order: number, withKeepalive: boolean) {
    this.id = id;
    this.query = query;
    this.batch = batch;
    this.order = order;
    this.withKeepalive = withKeepalive;
    this.isRepeated = query.outOn > 0;
  }
}

/** More are ahead on a connection only where the way is long. */
const chains = 64;

/** The queries that a connection carries, by id and in the order of sending. No Map: see {@link InFlight} for what that costs. */
export class SentQueries {
  readonly #chains: (Sent | undefined)[] = new Array(chains).fill(undefined);
  #oldest: Sent | undefined;
  #newest: Sent | undefined;
  size = 0;
  /** Whose they are, where all are one client's. */
  client: string | undefined;

  /** The oldest first. One may be deleted while it is looked at. */
  *[Symbol.iterator](): Generator<Sent, void> {
    for (let sent = this.#oldest, newer: Sent | undefined; sent !== undefined; sent = newer) {
      newer = sent.newer;
      yield sent;
    }
  }

  get(id: number): Sent | undefined {
    let sent = this.#chains[id & (chains - 1)];
    while (sent !== undefined && sent.id !== id) sent = sent.chained;
    return sent;
  }

  /** The first after this one in the order of sending. */
  firstAfter(order: number): Sent | undefined {
    let sent = this.#oldest;
    while (sent !== undefined && sent.order <= order) sent = sent.newer;
    return sent;
  }

  add(sent: Sent): void {
    const { client } = sent.query;
    if (this.size === 0) this.client = client;
    else if (client !== this.client) this.client = undefined;
    const at = sent.id & (chains - 1);
    sent.chained = this.#chains[at];
    this.#chains[at] = sent;
    sent.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = sent;
    else this.#newest.newer = sent;
    this.#newest = sent;
    this.size += 1;
  }

  delete(sent: Sent): void {
    const at = sent.id & (chains - 1);
    let before: Sent | undefined;
    for (let found = this.#chains[at]; found !== sent; found = found.chained) {
      if (found === undefined) return;
      before = found;
    }
    if (before === undefined) this.#chains[at] = sent.chained;
    else before.chained = sent.chained;
    if (sent.older === undefined) this.#oldest = sent.newer;
    else sent.older.newer = sent.newer;
    if (sent.newer === undefined) this.#newest = sent.older;
    else sent.newer.older = sent.older;
    sent.chained = undefined;
    sent.older = undefined;
    sent.newer = undefined;
    this.size -= 1;
    if (this.size === 0) this.client = undefined;
  }

  /** All of them, the oldest first; none is left. */
  takeAll(): Sent[] {
    const all = [...this];
    for (const sent of all) this.delete(sent);
    return all;
  }
}
