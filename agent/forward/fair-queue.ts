import type { TcpQuery } from './tcp-query.ts';

/** Queries that wait for a connection. Clients take turns, so that one client's flood waits behind itself. */
export class FairQueue {
  /** The client whose turn is next comes first. */
  readonly #byClient = new Map<string, Set<TcpQuery>>();

  get isEmpty(): boolean {
    return this.#byClient.size === 0;
  }

  get next(): TcpQuery | undefined {
    // Mostly nobody waits, and an iterator would be made to find that out.
    if (this.isEmpty) return undefined;
    for (const [query] of this.#byClient.values()) return query;
    return undefined;
  }

  *[Symbol.iterator](): Generator<TcpQuery, void> {
    for (const queries of this.#byClient.values()) yield* queries;
  }

  add(query: TcpQuery): void {
    const queries = this.#byClient.get(query.client);
    if (queries === undefined) this.#byClient.set(query.client, new Set([query]));
    else queries.add(query);
  }

  /** It has had its client's turn. */
  serve(query: TcpQuery): void {
    const queries = this.#byClient.get(query.client);
    this.#byClient.delete(query.client);
    queries?.delete(query);
    if (queries !== undefined && queries.size > 0) this.#byClient.set(query.client, queries);
  }

  /** It waits no longer. */
  remove(query: TcpQuery): void {
    const queries = this.#byClient.get(query.client);
    queries?.delete(query);
    if (queries?.size === 0) this.#byClient.delete(query.client);
  }
}
