import type { TcpQuery } from './tcp-query.ts';

/** Queries that wait for a connection. Clients take turns, so that one client's flood waits behind itself. */
export class FairQueue {
  /** The client whose turn is next comes first. */
  readonly #byClient = new Map<string, Set<TcpQuery>>();

  get isEmpty(): boolean {
    return this.#byClient.size === 0;
  }

  has(client: string): boolean {
    return this.#byClient.has(client);
  }

  /** The next of each client, and of those that have been served meanwhile again. */
  *heads(): Generator<TcpQuery, void> {
    for (const [query] of this.#byClient.values()) if (query !== undefined) yield query;
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
