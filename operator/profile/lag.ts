import type { Clock } from '../../kube/clock.ts';
import { classify } from '../runtime/errors.ts';

/** A watch that is alive has told by then what a refused write was too old for. */
const LIVE_WITHIN_MS = 1_000;
/** Who is refused may be thousands, one after the other, and a kind thousands of objects. */
const READ_EVERY_MS = 10_000;

type Readable = Attempt['stores'][number];

export interface Attempt {
  readonly key: string;
  /** The version that is known of what is to be written. */
  readonly seen: string | undefined;
  /** Where it was seen. */
  readonly stores: readonly { refresh(): Promise<void> }[];
}

/**
 * Finds out that a store is behind while its watch seems to be alive: what is decided on what it says is refused again and again as being
 * too old. It is read anew then, once: where that is refused still, it was refused for another reason (a webhook, a quota).
 */
export class Lag {
  readonly #clock: Clock;
  /** By key, the version that was refused, and since when. */
  readonly #refused = new Map<string, { readonly seen: string | undefined; readonly sinceMs: number }>();
  readonly #refreshing = new Set<Readable>();
  /** When each was read anew last. */
  readonly #readAtMs = new WeakMap<Readable, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Fails as `work` does. */
  async trying<T>({ key, seen, stores }: Attempt, work: () => Promise<T>): Promise<T> {
    try {
      const result = await work();
      this.#refused.delete(key);
      return result;
    } catch (error) {
      if (classify(error).failure === 'conflict') {
        const sinceMs = this.#refusedSince(key, seen);
        if (this.#clock.nowMs() - sinceMs >= LIVE_WITHIN_MS)
          for (const store of stores) void this.#refresh(store, sinceMs);
      }
      throw error;
    }
  }

  clear(): void {
    this.#refused.clear();
  }

  #refusedSince(key: string, seen: string | undefined): number {
    const before = this.#refused.get(key);
    if (before !== undefined && before.seen === seen) return before.sinceMs;
    const sinceMs = this.#clock.nowMs();
    this.#refused.set(key, { seen, sinceMs });
    return sinceMs;
  }

  async #refresh(store: Readable, sinceMs: number): Promise<void> {
    const readAtMs = this.#readAtMs.get(store) ?? Number.NEGATIVE_INFINITY;
    const nowMs = this.#clock.nowMs();
    // What was read since then is not what was too old; who is refused still when it may be read again asks again.
    if (this.#refreshing.has(store) || readAtMs >= sinceMs || nowMs - readAtMs < READ_EVERY_MS) return;
    this.#readAtMs.set(store, nowMs);
    this.#refreshing.add(store);
    await store.refresh();
    this.#refreshing.delete(store);
  }
}
