/** Equal questions that are asked at the same time share one upstream query, and its outcome. */
export class InFlight<Outcome> {
  readonly #exchanges = new Map<string, Promise<Outcome>>();

  get size(): number {
    return this.#exchanges.size;
  }

  /** The exchange that is under way for this key, if any. */
  find(key: string): Promise<Outcome> | undefined {
    return this.#exchanges.get(key);
  }

  start(key: string, start: () => Promise<Outcome>): Promise<Outcome> {
    const exchange = start().finally(() => this.#exchanges.delete(key));
    this.#exchanges.set(key, exchange);
    return exchange;
  }
}
