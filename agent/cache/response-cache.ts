/** The one door to lru-cache: answers by server block and question, under one budget of octets for all blocks. */
import { LRUCache } from 'lru-cache';
import type { Entry } from './entry.ts';

export class ResponseCache {
  #entries: LRUCache<string, Entry>;
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
    this.#entries = this.#emptyCache();
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** Keeps what was used last, as far as it fits. */
  resize(maxBytes: number): void {
    if (maxBytes === this.#maxBytes) return;
    this.#maxBytes = maxBytes;
    const before = this.#entries;
    this.#entries = this.#emptyCache();
    for (const [key, entry] of before.rentries()) this.#entries.set(key as string, entry as Entry);
  }

  #emptyCache(): LRUCache<string, Entry> {
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
      lookup: (key) => this.#entries.get(prefix + key),
      store: (key, entry) => {
        this.changes += 1;
        this.#entries.set(prefix + key, entry);
      },
      drop: (key) => {
        if (this.#entries.delete(prefix + key)) this.changes += 1;
      },
    };
  }

  /** Forgets what blocks that no longer exist have cached. */
  retain(prefixes: ReadonlySet<string>): void {
    for (const key of [...this.#entries.keys()]) {
      if (!prefixes.has(key.slice(0, prefixLength))) this.#entries.delete(key);
    }
  }

  /**
   * Collects the keys, each with its prefix, what was used last first, in steps. Between them the cache may change: if the walk
   * stands on an answer that is used then, it begins again at the front; if on one that is dropped, it may end there. What was used
   * behind its back stands at the front when it is done, and is added. So a key may come twice; a set of them all would be dearer.
   */
  *collectKeys(into: string[]): Generator<void, void> {
    let left = 2 * this.#entries.size;
    for (const key of this.#entries.keys()) {
      into.push(key);
      left -= 1;
      if (left <= 0) break;
      if (left % keysPerStep === 0) yield;
    }
    yield;
    left = keysPerStep;
    for (const key of this.#entries.keys()) {
      into.push(key);
      left -= 1;
      if (left <= 0) break;
    }
  }

  /** Looks without counting as a use. */
  peek(key: string): Entry | undefined {
    return this.#entries.peek(key);
  }

  /** Stores an answer whose key, with its prefix, has none yet; false where there is one, which stays. */
  add(key: string, entry: Entry): boolean {
    if (this.#entries.has(key)) return false;
    this.changes += 1;
    this.#entries.set(key, entry);
    return this.#entries.has(key);
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
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
