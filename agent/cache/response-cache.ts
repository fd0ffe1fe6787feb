/** The one door to lru-cache: answers by server block and question, under one budget of octets for all blocks. */
import { LRUCache } from 'lru-cache';
import type { Entry } from './entry.ts';

export class ResponseCache {
  readonly #entries: LRUCache<string, Entry>;
  /** Entries that were pushed out by the budget; read at scrape. */
  evictions = 0;

  /** @param maxBytes budget over messages, keys and overhead */
  constructor(maxBytes: number) {
    this.#entries = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: (entry, key) => entry.size(key),
      dispose: (_entry, _key, reason) => {
        if (reason === 'evict') this.evictions += 1;
      },
    });
  }

  /** The view of one server block. Equal prefixes see the same entries: that is how a block keeps its cache over a swap. */
  partition(prefix: string): CachePartition {
    const entries = this.#entries;
    return {
      lookup: (key) => entries.get(prefix + key),
      store: (key, entry) => {
        entries.set(prefix + key, entry);
      },
      drop: (key) => {
        entries.delete(prefix + key);
      },
    };
  }

  /** Forgets what blocks that no longer exist have cached. */
  retain(prefixes: ReadonlySet<string>): void {
    for (const key of [...this.#entries.keys()]) {
      if (!prefixes.has(key.slice(0, prefixLength))) this.#entries.delete(key);
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }
}

/** Every prefix has this length, so that no partition can reach into another. */
export const prefixLength = 2;

export interface CachePartition {
  lookup(key: string): Entry | undefined;
  store(key: string, entry: Entry): void;
  drop(key: string): void;
}
