/** Finds answers in {@link Cells} by the hash of their question: those with hashes that lead to the same place are chained. */
import { type Cells, Word, wordsPerCell } from './cells.ts';

const firstPlaces = 1_024;

export class Chains {
  readonly #words: Int32Array;
  /**
   * For each place the first of its chain, and beside it one bit for each of its hashes: most questions that nobody has asked before
   * are known as such without a look at any answer, which would have to come from memory that is far away.
   */
  #places = new Int32Array(2 * firstPlaces);
  #size = 0;

  constructor(cells: Cells) {
    this.#words = cells.words;
  }

  /** The first that may have this hash; others are {@link next}. 0 for none. */
  find(hash: number): number {
    const at = this.#placeOf(hash);
    return ((this.#places[at + 1] as number) & bitOf(hash)) === 0 ? 0 : (this.#places[at] as number);
  }

  next(first: number): number {
    return this.#words[first * wordsPerCell + Word.chained] as number;
  }

  hashOf(first: number): number {
    return this.#words[first * wordsPerCell + Word.hash] as number;
  }

  add(first: number): void {
    if (2 * this.#size >= this.#places.length) this.#grow();
    this.#size += 1;
    this.#chain(first);
  }

  remove(first: number): void {
    const at = this.#placeOf(this.hashOf(first));
    let bits = 0;
    let before = 0;
    for (let cell = this.#places[at] as number; cell !== 0; cell = this.next(cell)) {
      if (cell !== first) {
        bits |= bitOf(this.hashOf(cell));
        before = cell;
      } else if (before === 0) this.#places[at] = this.next(first);
      else this.#words[before * wordsPerCell + Word.chained] = this.next(first);
    }
    this.#places[at + 1] = bits;
    this.#size -= 1;
  }

  #chain(first: number): void {
    const hash = this.hashOf(first);
    const at = this.#placeOf(hash);
    this.#words[first * wordsPerCell + Word.chained] = this.#places[at] as number;
    this.#places[at] = first;
    this.#places[at + 1] = (this.#places[at + 1] as number) | bitOf(hash);
  }

  #grow(): void {
    const before = this.#places;
    this.#places = new Int32Array(2 * before.length);
    for (let at = 0; at < before.length; at += 2) {
      for (let first = before[at] as number, next = 0; first !== 0; first = next) {
        next = this.next(first);
        this.#chain(first);
      }
    }
  }

  #placeOf(hash: number): number {
    return (2 * hash) & (this.#places.length - 2);
  }
}

/** Of other bits of the hash than its place. */
function bitOf(hash: number): number {
  return 1 << (hash >>> 27);
}
