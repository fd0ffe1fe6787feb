/**
 * The one door to lru-cache: answers by server block and question, under one budget of octets for all blocks.
 *
 * A segmented LRU: an answer comes on probation, and is protected once it has been used twice. What makes room is an answer on
 * probation for as long as there is one, so that a flood of names that nobody asks for again pushes out nothing but itself.
 */
import { LRUCache } from 'lru-cache';
import type { Entry } from './entry.ts';

/** Part of the budget that may be protected; the rest is where new answers show whether they are asked for again. */
const protectedPart = 0.8;
/** One use is no proof: an NXDOMAIN about a random name that was asked for A answers the AAAA right behind it. */
const usesToProtect = 2;
type Segment = LRUCache<string, Entry>;

export class ResponseCache {
  #probation: Segment;
  #protected: Segment;
  /** Entries that were pushed out by the budget; read at scrape. */
  evictions = 0;
  /** Counts what was stored and dropped: as long as it stays the same, a snapshot of the cache stays true. */
  changes = 0;
  /** Snapshots that have been begun. */
  snapshots = 0;
  #maxBytes: number;

  /** @param maxBytes budget over messages, keys and overhead */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#probation = this.#emptySegment();
    this.#protected = this.#emptySegment();
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** Keeps what is protected, and what was used last, as far as it fits. */
  resize(maxBytes: number): void {
    if (maxBytes === this.#maxBytes) return;
    this.#maxBytes = maxBytes;
    this.#probation = this.#copy(this.#probation);
    this.#protected = this.#copy(this.#protected);
    this.#demote();
    this.#fit();
  }

  #copy(from: Segment): Segment {
    const segment = this.#emptySegment();
    for (const [key, entry] of from.rentries()) segment.set(key as string, entry as Entry);
    return segment;
  }

  #emptySegment(): Segment {
    return new LRUCache({
      maxSize: this.#maxBytes,
      sizeCalculation: (entry, key) => entry.size(key),
      dispose: (_entry, _key, reason) => {
        if (reason === 'evict') this.evictions += 1;
      },
    });
  }

  /** The view of one server block. Equal prefixes see the same entries: that is how a block keeps its cache over a swap. */
  partition(prefix: string): CachePartition {
    return {
      lookup: (key) => this.#lookup(prefix + key),
      store: (key, entry) => this.#store(prefix + key, entry),
      drop: (key) => {
        if (this.#protected.delete(prefix + key) || this.#probation.delete(prefix + key)) this.changes += 1;
      },
    };
  }

  #lookup(key: string): Entry | undefined {
    const proven = this.#protected.get(key);
    if (proven !== undefined) {
      proven.uses += 1;
      return proven;
    }
    const entry = this.#probation.get(key);
    if (entry === undefined) return undefined;
    entry.uses += 1;
    if (entry.uses >= usesToProtect) this.#protect(key, entry);
    return entry;
  }

  #store(key: string, entry: Entry): void {
    this.changes += 1;
    const segment = this.#protected.has(key) ? this.#protected : this.#probation;
    segment.set(key, entry);
    this.#demote();
    this.#fit(entry.storedAtMs);
  }

  #protect(key: string, entry: Entry): void {
    this.#probation.delete(key);
    this.#protected.set(key, entry);
    this.#demote();
  }

  /** What has not been used for longest is on probation again, where it makes room last and one use protects it anew. */
  #demote(): void {
    while (this.#protected.calculatedSize > this.#maxBytes * protectedPart) {
      const [oldest] = this.#protected.rentries();
      if (oldest === undefined) return;
      const [key, entry] = oldest as [string, Entry];
      this.#protected.delete(key);
      this.#probation.set(key, entry);
    }
  }

  /** @param nowMs protected answers that are past all use by then make room first: they are what a workload has left behind */
  #fit(nowMs = Number.NEGATIVE_INFINITY): void {
    while (this.bytes > this.#maxBytes) {
      const [oldest] = this.#protected.rvalues();
      (oldest !== undefined && nowMs >= oldest.staleUntilMs ? this.#protected : this.#probation).pop();
    }
  }

  /** Forgets what blocks that no longer exist have cached. */
  retain(prefixes: ReadonlySet<string>): void {
    for (const segment of this.#segments) {
      for (const key of [...segment.keys()]) {
        if (!prefixes.has(key.slice(0, prefixLength))) segment.delete(key);
      }
    }
  }

  /** What was used more comes first. */
  get #segments(): readonly Segment[] {
    return [this.#protected, this.#probation];
  }

  /**
   * Collects the keys, each with its prefix, what is protected and what was used last first, in steps. Between them the cache may
   * change: if the walk stands on an answer that is used then, it begins again at the front; if on one that is dropped, it may end
   * there. What was used behind its back stands at the front when it is done, and is added. So a key may come twice; a set of them
   * all would be dearer.
   */
  *collectKeys(into: string[]): Generator<void, void> {
    for (const segment of this.#segments) {
      let left = 2 * segment.size;
      for (const key of segment.keys()) {
        into.push(key);
        left -= 1;
        if (left <= 0) break;
        if (left % keysPerStep === 0) yield;
      }
      yield;
    }
    for (const segment of this.#segments) {
      let left = keysPerStep;
      for (const key of segment.keys()) {
        into.push(key);
        left -= 1;
        if (left <= 0) break;
      }
    }
  }

  /** Looks without counting as a use. */
  peek(key: string): Entry | undefined {
    return this.#protected.peek(key) ?? this.#probation.peek(key);
  }

  /** Stores an answer whose key, with its prefix, has none yet; false where there is one, which stays, or no room. */
  add(key: string, entry: Entry): boolean {
    if (this.peek(key) !== undefined) return false;
    this.#store(key, entry);
    return this.peek(key) !== undefined;
  }

  get size(): number {
    return this.#protected.size + this.#probation.size;
  }

  get bytes(): number {
    return this.#protected.calculatedSize + this.#probation.calculatedSize;
  }
}

/** Half a millisecond's work, and few enough steps that a walk seldom begins again. */
const keysPerStep = 4096;

/** Every prefix has this length, so that no partition can reach into another. */
export const prefixLength = 2;

export interface CachePartition {
  lookup(key: string): Entry | undefined;
  store(key: string, entry: Entry): void;
  drop(key: string): void;
}
