/**
 * Memory for answers outside V8's heap: the garbage collector neither moves nor looks at what stands there, however much it is.
 *
 * It is made of cells of one length. An answer has as many as it needs, linked to each other, so that answers of any mix of
 * lengths take the place of any others. The first cell begins with a head of fixed fields:
 *
 *     words   0 next cell          1 hash           2 newer    3 older
 *             4 next of the chain  5 block          6 octets of the message | ARCOUNT without OPT, 16 bits each
 *             7 marks             12 TTL, s        13 stale window, s      14 stamp    15 snapshot
 *     times   4 stored at, ms      5 refresh not before, ms
 *
 * and each other one with its link. Cell 0 is none, so that memory which was never written says so.
 */
import { copyOctets } from '../wire/octets.ts';

export const cellLength = 128;
export const wordsPerCell = cellLength / Int32Array.BYTES_PER_ELEMENT;
export const timesPerCell = cellLength / Float64Array.BYTES_PER_ELEMENT;
/** Of the first cell of an answer. */
export const headLength = 64;
const linkLength = 4;

export const Word = {
  next: 0,
  hash: 1,
  newer: 2,
  older: 3,
  chained: 4,
  block: 5,
  sizes: 6,
  marks: 7,
  ttl: 12,
  staleWindow: 13,
  stamp: 14,
  snapshot: 15,
} as const;

export const Time = { storedAt: 4, refreshAfter: 5 } as const;

export class Cells {
  readonly octets: Buffer;
  readonly words: Int32Array;
  readonly times: Float64Array;
  /** Of the answer that begins at each cell; 0 where none does. What stands in a cell itself may be octets of any message. */
  readonly stamps: Int32Array;
  readonly count: number;
  taken = 0;
  #freed = 0;
  #firstUnused = 1;

  /** @throws RangeError where the machine has no room for so many */
  constructor(count: number) {
    const memory = new ArrayBuffer((count + 1) * cellLength);
    this.octets = Buffer.from(memory);
    this.words = new Int32Array(memory);
    this.times = new Float64Array(memory);
    this.stamps = new Int32Array(count + 1);
    this.count = count;
  }

  /** Returns the first of as many linked cells, where so many are not {@link taken}; what they hold is of whoever had them before. */
  take(count: number): number {
    let first = 0;
    for (let taken = 0; taken < count; taken += 1) {
      const cell = this.#one();
      this.words[cell * wordsPerCell + Word.next] = first;
      first = cell;
    }
    this.taken += count;
    return first;
  }

  /** Gives it back, and all that are linked behind it. */
  release(first: number): void {
    for (let cell = first, next = 0; cell !== 0; cell = next) {
      next = this.next(cell);
      this.words[cell * wordsPerCell + Word.next] = this.#freed;
      this.#freed = cell;
      this.taken -= 1;
    }
  }

  /** All of them are free. */
  clear(): void {
    this.taken = 0;
    this.#freed = 0;
    this.#firstUnused = 1;
  }

  #one(): number {
    const cell = this.#freed;
    if (cell !== 0) {
      this.#freed = this.next(cell);
      return cell;
    }
    this.#firstUnused += 1;
    return this.#firstUnused - 1;
  }

  next(cell: number): number {
    return this.words[cell * wordsPerCell + Word.next] as number;
  }

  /** Puts `message[0, length)` behind the head. */
  write(first: number, message: Buffer, length: number): void {
    let cell = first;
    let at = cell * cellLength + headLength;
    for (let done = 0; ; ) {
      const end = Math.min(length, done + (cell + 1) * cellLength - at);
      copyOctets(message, done, end, this.octets, at);
      if (end === length) return;
      done = end;
      cell = this.next(cell);
      at = cell * cellLength + linkLength;
    }
  }

  /** Copies what {@link write} has put there to `out[to, to + length)`. */
  read(first: number, out: Buffer, to: number, length: number): void {
    let cell = first;
    let at = cell * cellLength + headLength;
    for (let done = 0; ; ) {
      const end = Math.min(length, done + (cell + 1) * cellLength - at);
      copyOctets(this.octets, at, at + end - done, out, to + done);
      if (end === length) return;
      done = end;
      cell = this.next(cell);
      at = cell * cellLength + linkLength;
    }
  }

  /** Copies all of an answer but its links from `other`. */
  copy(first: number, other: Cells, otherFirst: number): void {
    for (let cell = first, from = otherFirst; cell !== 0; cell = this.next(cell), from = other.next(from)) {
      for (let word = Word.next + 1; word < wordsPerCell; word += 1) {
        this.words[cell * wordsPerCell + word] = other.words[from * wordsPerCell + word] as number;
      }
    }
  }
}

/** How many cells a message of this length takes. */
export function cellsOf(length: number): number {
  return 1 + Math.ceil(Math.max(0, length - (cellLength - headLength)) / (cellLength - linkLength));
}

/** Where one octet of a message stands. */
export class Place {
  #cells: Cells | undefined;
  #cell = 0;
  #end = 0;
  at = 0;

  /** @param offset in the message, of an octet in its first cell */
  begin(cells: Cells, first: number, offset: number): void {
    this.#cells = cells;
    this.#cell = first;
    this.at = first * cellLength + headLength + offset;
    this.#end = (first + 1) * cellLength;
  }

  step(): void {
    this.at += 1;
    if (this.at < this.#end) return;
    this.#cell = (this.#cells as Cells).next(this.#cell);
    this.at = this.#cell * cellLength + linkLength;
    this.#end = (this.#cell + 1) * cellLength;
  }
}
