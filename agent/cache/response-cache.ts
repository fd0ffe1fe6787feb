/**
 * Answers by server block and question, under one budget of octets for all blocks.
 *
 * A segmented LRU: an answer comes on probation, and is protected once it has been used twice. What makes room is an answer on
 * probation for as long as there is one, so that a flood of names that nobody asks for again pushes out nothing but itself.
 *
 * The entries are chained to each other where they stand, and found by the hash of the octets that were asked: no key is made, so a
 * hit leaves nothing behind, and a miss no more than its answer.
 */
import { u16 } from '../wire/octets.ts';
import { fixedLength, mixed, type Question } from '../wire/question.ts';
import type { Entry } from './entry.ts';

/** Part of the budget that may be protected; the rest is where new answers show whether they are asked for again. */
const protectedPart = 0.8;
/** One use is no proof: an NXDOMAIN about a random name that was asked for A answers the AAAA right behind it. */
const usesToProtect = 2;
/** Half a millisecond's work, and few enough steps that a walk seldom begins again. */
const entriesPerStep = 4_096;
const firstChains = 1_024;
/** Where more questions share a hash, somebody has made them so: who comes takes the place of the last. */
const maxChain = 32;
/** See {@link askForAnyType}. */
const anyType = 0;

/** Every prefix has this length. */
export const prefixLength = 2;

export interface CachePartition {
  /** @param ofName what is known about the name, whatever the type */
  lookup(asked: Question, ofName: boolean): Entry | undefined;
  store(asked: Question, ofName: boolean, entry: Entry): void;
  drop(asked: Question, ofName: boolean): void;
}

/** What was used last comes first. */
class Segment {
  newest: Entry | undefined;
  oldest: Entry | undefined;
  bytes = 0;
  size = 0;

  add(entry: Entry): void {
    entry.segment = this;
    entry.older = this.newest;
    if (this.newest === undefined) this.oldest = entry;
    else this.newest.newer = entry;
    this.newest = entry;
    this.bytes += entry.size;
    this.size += 1;
  }

  remove(entry: Entry): void {
    const { newer, older } = entry;
    if (newer === undefined) this.newest = older;
    else newer.older = older;
    if (older === undefined) this.oldest = newer;
    else older.newer = newer;
    entry.segment = undefined;
    entry.newer = undefined;
    entry.older = undefined;
    this.bytes -= entry.size;
    this.size -= 1;
  }

  touch(entry: Entry): void {
    if (this.newest === entry) return;
    this.remove(entry);
    this.add(entry);
  }
}

export class ResponseCache {
  readonly #probation = new Segment();
  readonly #protected = new Segment();
  #chains: (Entry | undefined)[] = new Array(firstChains).fill(undefined);
  /** Entries that were pushed out by the budget; read at scrape. */
  evictions = 0;
  /** Counts what was stored and dropped: as long as it stays the same, a snapshot of the cache stays true. */
  changes = 0;
  /** Snapshots that have been begun. */
  snapshots = 0;
  #maxBytes: number;

  /** @param maxBytes budget over messages and overhead */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  get size(): number {
    return this.#protected.size + this.#probation.size;
  }

  get bytes(): number {
    return this.#protected.bytes + this.#probation.bytes;
  }

  /** Keeps what is protected, and what was used last, as far as it fits. */
  resize(maxBytes: number): void {
    this.#maxBytes = maxBytes;
    this.#demote();
    this.#fit();
  }

  /** The view of one server block. Equal prefixes see the same entries: that is how a block keeps its cache over a swap. */
  partition(prefix: string): CachePartition {
    const salt = saltOf(prefix);
    return {
      lookup: (asked, ofName) => this.#lookup(this.#find(prefix, salt, asked, ofName)),
      store: (asked, ofName, entry) => this.#store(prefix, salt, asked, ofName, entry),
      drop: (asked, ofName) => {
        const entry = this.#find(prefix, salt, asked, ofName);
        if (entry === undefined) return;
        this.#remove(entry);
        this.changes += 1;
      },
    };
  }

  /** Looks without counting as a use. */
  peek(prefix: string, asked: Question, ofName = false): Entry | undefined {
    return this.#find(prefix, saltOf(prefix), asked, ofName);
  }

  /** Stores an answer to a question that has none yet; false where there is one, which stays, or no room. */
  add(prefix: string, asked: Question, entry: Entry): boolean {
    if (this.peek(prefix, asked) !== undefined) return false;
    this.#store(prefix, saltOf(prefix), asked, false, entry);
    return entry.segment !== undefined;
  }

  /** Forgets what blocks that no longer exist have cached. */
  retain(prefixes: ReadonlySet<string>): void {
    for (const { newest } of this.#segments) {
      for (let entry = newest, older: Entry | undefined; entry !== undefined; entry = older) {
        older = entry.older;
        if (!prefixes.has(entry.prefix)) this.#remove(entry);
      }
    }
  }

  /**
   * Collects the entries, what is protected and what was used last first, in steps. Between them the cache may change: if the walk
   * stands on an answer that is used then, it begins again at the front; if on one that is dropped, it may end there. What was used
   * behind its back stands at the front when it is done, and is added. So an entry may come twice.
   */
  *collect(into: Entry[]): Generator<void, void> {
    for (const segment of this.#segments) {
      let left = 2 * segment.size;
      for (let entry = segment.newest; entry !== undefined && left > 0; entry = entry.older) {
        into.push(entry);
        left -= 1;
        if (left % entriesPerStep === 0) yield;
      }
      yield;
    }
    for (const { newest } of this.#segments) {
      let left = entriesPerStep;
      for (let entry = newest; entry !== undefined && left > 0; entry = entry.older) {
        into.push(entry);
        left -= 1;
      }
    }
  }

  #find(prefix: string, salt: number, asked: Question, ofName: boolean): Entry | undefined {
    const hash = hashOf(asked, ofName) ^ salt;
    const type = ofName ? anyType : typeOf(asked);
    for (let entry = this.#chains[this.#chainOf(hash)]; entry !== undefined; entry = entry.chained) {
      if (entry.hash !== hash || entry.prefix !== prefix || entry.questionFlags !== asked.questionFlags) continue;
      if (entry.answers(asked, type)) return entry;
    }
    return undefined;
  }

  #lookup(entry: Entry | undefined): Entry | undefined {
    if (entry === undefined) return undefined;
    entry.uses += 1;
    const segment = entry.segment as Segment;
    if (segment === this.#protected || entry.uses < usesToProtect) segment.touch(entry);
    else {
      segment.remove(entry);
      this.#protected.add(entry);
      this.#demote();
    }
    return entry;
  }

  #store(prefix: string, salt: number, asked: Question, ofName: boolean, entry: Entry): void {
    this.changes += 1;
    const before = this.#find(prefix, salt, asked, ofName);
    const segment = before?.segment === this.#protected ? this.#protected : this.#probation;
    if (before !== undefined) this.#remove(before);
    // It would push out everything, and then itself.
    if (entry.size > this.#maxBytes) return;
    entry.prefix = prefix;
    entry.questionFlags = asked.questionFlags;
    entry.hash = hashOf(asked, ofName) ^ salt;
    this.#admit(entry);
    segment.add(entry);
    this.#demote();
    this.#fit(entry.storedAtMs);
  }

  #admit(entry: Entry): void {
    if (this.size >= this.#chains.length) this.#grow();
    this.#chain(entry);
    let length = 1;
    for (let next = entry.chained; next !== undefined; next = next.chained) {
      length += 1;
      if (length <= maxChain) continue;
      this.#remove(next);
      this.evictions += 1;
      return;
    }
  }

  #chain(entry: Entry): void {
    const at = this.#chainOf(entry.hash);
    entry.chained = this.#chains[at];
    this.#chains[at] = entry;
  }

  #grow(): void {
    this.#chains = new Array(this.#chains.length * 2).fill(undefined);
    for (const { newest } of this.#segments) {
      for (let entry = newest; entry !== undefined; entry = entry.older) this.#chain(entry);
    }
  }

  #chainOf(hash: number): number {
    return hash & (this.#chains.length - 1);
  }

  #remove(entry: Entry): void {
    const at = this.#chainOf(entry.hash);
    const first = this.#chains[at];
    if (first === entry) this.#chains[at] = entry.chained;
    else {
      for (let before = first; before !== undefined; before = before.chained) {
        if (before.chained !== entry) continue;
        before.chained = entry.chained;
        break;
      }
    }
    entry.chained = undefined;
    (entry.segment as Segment).remove(entry);
  }

  /** What has not been used for longest is on probation again, where it makes room last and one use protects it anew. */
  #demote(): void {
    while (this.#protected.bytes > this.#maxBytes * protectedPart) {
      const { oldest } = this.#protected;
      if (oldest === undefined) return;
      this.#protected.remove(oldest);
      this.#probation.add(oldest);
    }
  }

  /** @param nowMs protected answers that are past all use by then make room first: they are what a workload has left behind */
  #fit(nowMs = Number.NEGATIVE_INFINITY): void {
    while (this.bytes > this.#maxBytes) {
      const proven = this.#protected.oldest;
      const isPastUse = proven !== undefined && nowMs >= proven.staleUntilMs;
      const oldest = isPastUse ? proven : (this.#probation.oldest ?? proven);
      if (oldest === undefined) return;
      this.#remove(oldest);
      this.evictions += 1;
    }
  }

  /** What was used more comes first. */
  get #segments(): readonly Segment[] {
    return [this.#protected, this.#probation];
  }
}

/** So that the same name has another place for each block. */
export function saltOf(prefix: string): number {
  return mixed(prefix.charCodeAt(0), prefix.charCodeAt(1));
}

function hashOf({ hash, nameHash }: Question, ofName: boolean): number {
  return ofName ? mixed(nameHash, anyType) : hash;
}

function typeOf({ questionIn, questionAt, questionLength }: Question): number {
  return u16(questionIn, questionAt + questionLength - fixedLength);
}
