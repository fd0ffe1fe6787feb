import { type Cells, Word, wordsPerCell } from './cells.ts';
import { protectedMark } from './entry.ts';

/** Somebody who goes through a segment, and stands on what comes next. */
interface Walk {
  next: number;
}

/** Answers in the order of their last use. */
export class Segment {
  readonly #words: Int32Array;
  readonly #mark: number;
  readonly #walks = new Set<Walk>();
  newest = 0;
  oldest = 0;
  cells = 0;
  size = 0;

  /** @param mark of those in it */
  constructor(cells: Cells, mark: number) {
    this.#words = cells.words;
    this.#mark = mark;
  }

  add(first: number, cells: number): void {
    const words = this.#words;
    const word = first * wordsPerCell;
    words[word + Word.marks] = ((words[word + Word.marks] as number) & ~protectedMark) | this.#mark;
    words[word + Word.newer] = 0;
    words[word + Word.older] = this.newest;
    if (this.newest === 0) this.oldest = first;
    else words[this.newest * wordsPerCell + Word.newer] = first;
    this.newest = first;
    this.cells += cells;
    this.size += 1;
  }

  remove(first: number, cells: number): void {
    const words = this.#words;
    const newer = this.newer(first);
    const older = this.#older(first);
    if (newer === 0) this.newest = older;
    else words[newer * wordsPerCell + Word.older] = older;
    if (older === 0) this.oldest = newer;
    else words[older * wordsPerCell + Word.newer] = newer;
    this.cells -= cells;
    this.size -= 1;
    if (this.#walks.size > 0) this.#warn(first, older);
  }

  touch(first: number, cells: number): void {
    if (this.newest === first) return;
    this.remove(first, cells);
    this.add(first, cells);
  }

  newer(first: number): number {
    return this.#words[first * wordsPerCell + Word.newer] as number;
  }

  /** What was used last first. Whatever is added, used or removed meanwhile, those that stay where they were come all, and once. */
  *[Symbol.iterator](): Generator<number, void> {
    const walk: Walk = { next: this.newest };
    this.#walks.add(walk);
    try {
      while (walk.next !== 0) {
        const first = walk.next;
        walk.next = this.#older(first);
        yield first;
      }
    } finally {
      this.#walks.delete(walk);
    }
  }

  #older(first: number): number {
    return this.#words[first * wordsPerCell + Word.older] as number;
  }

  #warn(gone: number, next: number): void {
    for (const walk of this.#walks) if (walk.next === gone) walk.next = next;
  }
}
