import { isSameQuestion, type Question } from '../wire/question.ts';
import type { Resolution } from './resolution.ts';

const firstChains = 64;

/**
 * What is asked of the servers now, by question. Not a Map: each time one makes room, V8 leaves the old table behind with a pointer
 * to the new one, and once one of them is old, all that come after it, and all that they held, live until the next full collection.
 */
export class InFlight {
  #chains: (Resolution | undefined)[] = new Array(firstChains).fill(undefined);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  find(asked: Question): Resolution | undefined {
    let resolution = this.#chains[asked.hash & (this.#chains.length - 1)];
    while (resolution !== undefined && !isSameQuestion(resolution.query, asked)) resolution = resolution.chained;
    return resolution;
  }

  add(resolution: Resolution): void {
    if (this.#size >= this.#chains.length) this.#grow();
    this.#size += 1;
    this.#chain(resolution);
  }

  /** Does nothing where another one has taken its place. */
  delete(resolution: Resolution): void {
    const at = resolution.query.hash & (this.#chains.length - 1);
    let before: Resolution | undefined;
    let found = this.#chains[at];
    while (found !== undefined && found !== resolution) {
      before = found;
      found = found.chained;
    }
    if (found === undefined) return;
    if (before === undefined) this.#chains[at] = found.chained;
    else before.chained = found.chained;
    found.chained = undefined;
    this.#size -= 1;
  }

  #chain(resolution: Resolution): void {
    const at = resolution.query.hash & (this.#chains.length - 1);
    resolution.chained = this.#chains[at];
    this.#chains[at] = resolution;
  }

  #grow(): void {
    const before = this.#chains;
    this.#chains = new Array(before.length * 2).fill(undefined);
    for (const first of before) {
      for (let resolution = first, next: Resolution | undefined; resolution !== undefined; resolution = next) {
        next = resolution.chained;
        this.#chain(resolution);
      }
    }
  }
}
