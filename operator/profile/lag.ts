import type { Clock } from '../../kube/clock.ts';
import { classify } from '../runtime/errors.ts';

/** A watch that is alive has told by then what a refused write was too old for. */
const LIVE_WITHIN_MS = 1_000;

export interface Attempt {
  readonly key: string;
  /** The version that is known of what is to be written. */
  readonly seen: string | undefined;
  /** Where it was seen. */
  readonly stores: readonly { refresh(): Promise<void> }[];
}

/**
 * Finds out that a store is behind while its watch seems to be alive: what is decided on what it says is refused again and again as being
 * too old. It is read anew then.
 */
export class Lag {
  readonly #clock: Clock;
  /** By key, the version that was too old, and since when. */
  readonly #refused = new Map<string, { readonly seen: string | undefined; readonly sinceMs: number }>();
  readonly #refreshing = new Set<Attempt['stores'][number]>();

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
      if (classify(error).failure === 'conflict' && this.#isStuck(key, seen)) {
        this.#refused.delete(key);
        for (const store of stores) void this.#refresh(store);
      }
      throw error;
    }
  }

  clear(): void {
    this.#refused.clear();
  }

  #isStuck(key: string, seen: string | undefined): boolean {
    const nowMs = this.#clock.nowMs();
    const before = this.#refused.get(key);
    if (before !== undefined && before.seen === seen) return nowMs - before.sinceMs >= LIVE_WITHIN_MS;
    this.#refused.set(key, { seen, sinceMs: nowMs });
    return false;
  }

  /** Thousands of writes that are refused are one reason. */
  async #refresh(store: Attempt['stores'][number]): Promise<void> {
    if (this.#refreshing.has(store)) return;
    this.#refreshing.add(store);
    await store.refresh();
    this.#refreshing.delete(store);
  }
}
