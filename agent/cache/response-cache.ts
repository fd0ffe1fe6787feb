/**
 * Answers by server block and question, under one budget of octets for all blocks.
 *
 * A segmented LRU: an answer comes on probation, and is protected once it has been used twice. What makes room is an answer on
 * probation for as long as there is one, so that a flood of names that nobody asks for again pushes out nothing but itself.
 *
 * Answers, and all that says where they are, stand in {@link Cells}, by the numbers of their first cells.
 */
import { u16 } from '../wire/octets.ts';
import { fixedLength, mixed, nameHashes, type Question } from '../wire/question.ts';
import { Cells, cellsOf, Word, wordsPerCell } from './cells.ts';
import { Chains } from './chains.ts';
import { chargeOfCell, Entry, flagsShift, maxCount, protectedMark, signMask, typeShift } from './entry.ts';
import { Segment } from './segment.ts';

/** Part of the budget that may be protected; the rest is where new answers show whether they are asked for again. */
const protectedPart = 0.8;
/** One use is no proof: an NXDOMAIN about a random name that was asked for A answers the AAAA right behind it. */
const usesToProtect = 2;
/** Half a millisecond's work, and few enough steps that a walk seldom begins again. */
const entriesPerStep = 4_096;
/** Where more questions share a hash, somebody has made them so: who comes takes the place of the last. */
const maxChain = 32;
/** See {@link askForAnyType}. */
const anyType = 0;

/** Every prefix has this length. */
export const prefixLength = 2;

export interface CachePartition {
  /** @param ofName what is known about the name, whatever the type */
  lookup(asked: Question, ofName: boolean): Entry | undefined;
  /** Counts another use of an entry that was looked up within this second, and keeps its place; false where it is not there any more. */
  use(first: number, stamp: number): boolean;
  /** Keeps a copy. */
  store(asked: Question, ofName: boolean, entry: Entry): void;
  /** Whether any answer, fresh or not, says that the name exists; without counting as a use. */
  hasName(asked: Question): boolean;
  drop(asked: Question, ofName: boolean): void;
}

/** Answers that were there at some moment, in an order that stays. */
export class Collected {
  readonly #cells: Cells;
  readonly #firsts: number[] = [];
  readonly #stamps: number[] = [];

  constructor(cells: Cells) {
    this.#cells = cells;
  }

  get length(): number {
    return this.#firsts.length;
  }

  add(first: number): void {
    this.#firsts.push(first);
    this.#stamps.push(new Entry(this.#cells, first).stamp);
  }

  /** Undefined for one that has been dropped since. */
  at(place: number): Entry | undefined {
    const entry = new Entry(this.#cells, this.#firsts[place] as number);
    return entry.isThere && entry.stamp === this.#stamps[place] ? entry : undefined;
  }
}

/** All that one piece of memory holds. */
class Held {
  readonly cells: Cells;
  readonly chains: Chains;
  readonly probation: Segment;
  readonly protected: Segment;

  constructor(cells: Cells) {
    this.cells = cells;
    this.chains = new Chains(cells);
    this.probation = new Segment(cells, 0);
    this.protected = new Segment(cells, protectedMark);
  }

  /** What was used more comes first. */
  get segments(): readonly Segment[] {
    return [this.protected, this.probation];
  }

  segmentOf(first: number): Segment {
    return (this.word(first, Word.marks) & protectedMark) === 0 ? this.probation : this.protected;
  }

  /** How many cells it takes. */
  countOf(first: number): number {
    return cellsOf(this.word(first, Word.sizes) & 0xffff);
  }

  /** There is room for it. */
  add(entry: Entry): number {
    const first = this.cells.take(entry.count);
    this.cells.copy(first, entry.cells, entry.first);
    return first;
  }

  remove(first: number): void {
    this.chains.remove(first);
    this.segmentOf(first).remove(first, this.countOf(first));
    this.setStamp(first, 0);
    this.cells.release(first);
  }

  setStamp(first: number, stamp: number): void {
    this.setWord(first, Word.stamp, stamp);
    this.cells.stamps[first] = stamp;
  }

  has(first: number, stamp: number): boolean {
    return stamp !== 0 && this.cells.stamps[first] === stamp;
  }

  word(first: number, word: number): number {
    return this.cells.words[first * wordsPerCell + word] as number;
  }

  setWord(first: number, word: number, value: number): void {
    this.cells.words[first * wordsPerCell + word] = value;
  }
}

export class ResponseCache {
  #held: Held;
  /** In cells. */
  #capacity: number;
  /** Entries that were pushed out by the budget; read at scrape. */
  evictions = 0;
  /** Counts what was stored and dropped: as long as it stays the same, a snapshot of the cache stays true. */
  changes = 0;
  /** Snapshots that have been begun. */
  snapshots = 0;
  #maxBytes: number;
  /** So many were stored; 0 is the stamp of what is not there. */
  #stamp = 0;

  /** @param maxBytes budget over messages and overhead */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#held = new Held(memoryOf(maxBytes));
    this.#capacity = this.#held.cells.count;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  get size(): number {
    return this.#held.protected.size + this.#held.probation.size;
  }

  get bytes(): number {
    return this.#held.cells.taken * chargeOfCell;
  }

  /** Keeps what is protected, and what was used last, as far as it fits. */
  resize(maxBytes: number): void {
    if (maxBytes === this.#maxBytes) return;
    const [before, after] = [this.#held, new Held(memoryOf(maxBytes))];
    this.#maxBytes = maxBytes;
    this.#capacity = after.cells.count;
    this.#demote();
    this.#makeRoom(0);
    for (const segment of before.segments) {
      for (let first = segment.oldest; first !== 0; first = segment.newer(first)) {
        const entry = new Entry(before.cells, first);
        const moved = after.add(entry);
        after.setStamp(moved, entry.stamp);
        after.chains.add(moved);
        after.segmentOf(moved).add(moved, entry.count);
      }
    }
    this.#held = after;
  }

  /** The view of one server block. Equal prefixes see the same entries: that is how a block keeps its cache over a swap. */
  partition(prefix: string): CachePartition {
    const block = blockOf(prefix);
    return {
      lookup: (asked, ofName) => this.#lookup(this.#find(block, asked, ofName)),
      use: (first, stamp) => this.#use(first, stamp),
      store: (asked, ofName, entry) => void this.#store(block, asked, ofName, entry),
      hasName: (asked) => this.#hasName(block, asked),
      drop: (asked, ofName) => {
        const first = this.#find(block, asked, ofName);
        if (first === 0) return;
        this.#held.remove(first);
        this.changes += 1;
      },
    };
  }

  /** Looks without counting as a use. */
  peek(prefix: string, asked: Question, ofName = false): Entry | undefined {
    const first = this.#find(blockOf(prefix), asked, ofName);
    return first === 0 ? undefined : new Entry(this.#held.cells, first);
  }

  /** Stores an answer to a question that has none yet; false where there is one, which stays, or no room. */
  add(prefix: string, asked: Question, entry: Entry): boolean {
    return this.peek(prefix, asked) === undefined && this.#store(blockOf(prefix), asked, false, entry);
  }

  /** Forgets what blocks that no longer exist have cached. */
  retain(prefixes: ReadonlySet<string>): void {
    const blocks = new Set([...prefixes].map(blockOf));
    for (const segment of this.#held.segments) {
      for (const first of segment) if (!blocks.has(this.#held.word(first, Word.block))) this.#held.remove(first);
    }
  }

  /**
   * Collects what is there, what is protected and what was used last first, in steps. What was used behind the walk's back meanwhile
   * stands at the front when it is done, and is added. So an entry may come twice.
   */
  *collect(): Generator<undefined, Collected> {
    const { cells, segments } = this.#held;
    const collected = new Collected(cells);
    for (const segment of segments) {
      for (const first of segment) {
        collected.add(first);
        if (collected.length % entriesPerStep === 0) yield undefined;
      }
      yield undefined;
    }
    for (const segment of segments) {
      let left = entriesPerStep;
      for (const first of segment) {
        collected.add(first);
        left -= 1;
        if (left === 0) break;
      }
    }
    return collected;
  }

  /** Returns 0 for none. */
  #find(block: number, asked: Question, ofName: boolean): number {
    const { chains, cells } = this.#held;
    const hash = hashIn(block, asked);
    const type = ofName ? anyType : typeOf(asked);
    const sign = signOf(asked, type);
    for (let first = chains.find(hash); first !== 0; first = chains.next(first)) {
      if (chains.hashOf(first) !== hash || this.#held.word(first, Word.block) !== block) continue;
      const isAlike = ((this.#held.word(first, Word.marks) ^ sign) & signMask) === 0;
      if (isAlike && new Entry(cells, first).answers(asked, type)) return first;
    }
    return 0;
  }

  #hasName(block: number, asked: Question): boolean {
    const { chains, cells } = this.#held;
    for (const nameHash of nameHashes(asked)) {
      for (let first = chains.find(hashIn(block, { nameHash })); first !== 0; first = chains.next(first)) {
        const isOfBlock = this.#held.word(first, Word.block) === block;
        if (isOfBlock && new Entry(cells, first).provesName(asked)) return true;
      }
    }
    return false;
  }

  #lookup(first: number): Entry | undefined {
    if (first === 0) return undefined;
    this.#touch(first, this.#countUse(first));
    return new Entry(this.#held.cells, first);
  }

  #use(first: number, stamp: number): boolean {
    if (!this.#held.has(first, stamp)) return false;
    this.#countUse(first);
    return true;
  }

  /** Returns how often it has been used. */
  #countUse(first: number): number {
    const marks = this.#held.word(first, Word.marks);
    const uses = (marks & maxCount) + 1;
    if (uses <= maxCount) this.#held.setWord(first, Word.marks, marks + 1);
    return uses;
  }

  /** What was used last stays longest. */
  #touch(first: number, uses: number): void {
    const held = this.#held;
    const segment = held.segmentOf(first);
    const count = held.countOf(first);
    if (segment === held.protected || uses < usesToProtect) segment.touch(first, count);
    else {
      segment.remove(first, count);
      held.protected.add(first, count);
      this.#demote();
    }
  }

  /** False where there is no room. */
  #store(block: number, asked: Question, ofName: boolean, entry: Entry): boolean {
    const held = this.#held;
    this.changes += 1;
    const before = this.#find(block, asked, ofName);
    const segment = before === 0 ? held.probation : held.segmentOf(before);
    if (before !== 0) held.remove(before);
    const { count } = entry;
    // It would push out everything, and then itself.
    if (count > this.#capacity || !this.#makeRoom(count, entry.storedAtMs)) return false;
    const first = held.add(entry);
    this.#stamp = (this.#stamp + 1) | 0 || 1;
    held.setStamp(first, this.#stamp);
    held.setWord(first, Word.block, block);
    held.setWord(first, Word.hash, hashIn(block, asked));
    held.setWord(first, Word.marks, held.word(first, Word.marks) | signOf(asked, ofName ? anyType : typeOf(asked)));
    held.chains.add(first);
    this.#boundChain(first);
    segment.add(first, count);
    this.#demote();
    return true;
  }

  #boundChain(newest: number): void {
    const { chains } = this.#held;
    let length = 1;
    for (let first = chains.next(newest); first !== 0; first = chains.next(first)) {
      length += 1;
      if (length <= maxChain) continue;
      this.#held.remove(first);
      this.evictions += 1;
      return;
    }
  }

  /** What has not been used for longest is on probation again, where it makes room last and one use protects it anew. */
  #demote(): void {
    const held = this.#held;
    while (held.protected.cells > this.#capacity * protectedPart) {
      const { oldest } = held.protected;
      const count = held.countOf(oldest);
      held.protected.remove(oldest, count);
      held.probation.add(oldest, count);
    }
  }

  /**
   * Room for so many cells more; false where that is not to be had.
   * @param nowMs protected answers that are past all use by then make room first: they are what a workload has left behind
   */
  #makeRoom(count: number, nowMs = Number.NEGATIVE_INFINITY): boolean {
    const held = this.#held;
    while (held.cells.taken + count > this.#capacity) {
      const proven = held.protected.oldest;
      const isPastUse = proven !== 0 && nowMs >= new Entry(held.cells, proven).staleUntilMs;
      const first = isPastUse ? proven : held.probation.oldest;
      if (first === 0) return false;
      held.remove(first);
      this.evictions += 1;
    }
    return true;
  }
}

/** Fewer where the machine does not have so much. It gives what is used, and not before. */
function memoryOf(maxBytes: number): Cells {
  for (let count = Math.floor(maxBytes / chargeOfCell); ; count = Math.floor(count / 2)) {
    try {
      return new Cells(count);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
}

/** A block's prefix as a number. */
export function blockOf(prefix: string): number {
  return (prefix.charCodeAt(0) << 16) | prefix.charCodeAt(1);
}

/** The same name has another place for each block; in one, all that is known of a name is found at one place. */
export function hashIn(block: number, { nameHash }: Pick<Question, 'nameHash'>): number {
  return nameHash ^ mixed(block, 0);
}

/** What tells the answers to a name apart, but for types that hardly anybody asks for. */
function signOf({ questionFlags }: Question, type: number): number {
  return (questionFlags << flagsShift) | (type << typeShift);
}

function typeOf({ questionIn, questionAt, questionLength }: Question): number {
  return u16(questionIn, questionAt + questionLength - fixedLength);
}
