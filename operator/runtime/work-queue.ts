import { Backoff, type BackoffRange } from '../../kube/backoff.ts';
import type { Clock } from '../../kube/clock.ts';
import { Lines, type Place } from './lines.ts';

export interface WorkQueueOptions {
  /** From the start: see hold(). */
  readonly held?: boolean;
  /** Told how long each key was ready before a worker took it. */
  readonly onTaken?: (waitedMs: number) => void;
  /** Asked each time a key is added; without it all stand in one line. */
  readonly placeOf?: (key: string) => Place;
}

const ONE_LINE: Place = { rank: 0, line: '' };

/**
 * Keys to work on, each at most once at a time:
 *
 *   add ──▶ ready ──take──▶ in work ──done──▶ (gone, or ready again where it was added meanwhile)
 *            ▲
 *   addAfter, retry ── delayed
 *
 * Which of those that are ready is next is up to their places. A key added many times before it is taken is worked on once. A key that waits for a later time becomes ready at once when
 * it is added; of two later times the earlier counts. While the queue is held, keys gather in it and none is handed out.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #backoffRange: BackoffRange;
  readonly #ready = new Lines();
  readonly #placeOf: (key: string) => Place;
  readonly #onTaken: (waitedMs: number) => void;
  readonly #inWork = new Set<string>();
  readonly #dirty = new Set<string>();
  readonly #delayed = new Map<string, { dueMs: number; cancel: () => void }>();
  readonly #backoffs = new Map<string, Backoff>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  #closed = false;
  #held: boolean;
  #retries = 0;

  constructor(clock: Clock, backoff: BackoffRange = { minMs: 100, maxMs: 60_000 }, options: WorkQueueOptions = {}) {
    const { held = false, onTaken = () => {}, placeOf = () => ONE_LINE } = options;
    this.#onTaken = onTaken;
    this.#placeOf = placeOf;
    this.#clock = clock;
    this.#backoffRange = backoff;
    this.#held = held;
  }

  /** Keys that are ready and wait for a worker. */
  get depth(): number {
    return this.#ready.size;
  }

  /** Keys that were added again because they failed, since the start. */
  get retries(): number {
    return this.#retries;
  }

  add(key: string): void {
    if (this.#closed) return;
    this.#undelay(key);
    if (this.#inWork.has(key)) {
      this.#dirty.add(key);
      return;
    }
    this.#ready.put(key, this.#placeOf(key), this.#clock.nowMs());
    this.#handOut();
  }

  /** From now on no key is handed out; what is in work ends by itself. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#handOut();
  }

  addAfter(key: string, delayMs: number): void {
    if (this.#closed || this.#ready.has(key) || this.#dirty.has(key)) return;
    const dueMs = this.#clock.nowMs() + delayMs;
    const waiting = this.#delayed.get(key);
    if (waiting !== undefined && waiting.dueMs <= dueMs) return;
    waiting?.cancel();
    const cancel = this.#clock.after(delayMs, () => this.add(key));
    this.#delayed.set(key, { dueMs, cancel });
  }

  /** Adds a key that failed: after its own backoff, and not before `atLeastMs`. Returns the delay in milliseconds. */
  retry(key: string, atLeastMs = 0): number {
    let backoff = this.#backoffs.get(key);
    if (backoff === undefined) {
      backoff = new Backoff(this.#backoffRange, () => this.#clock.random());
      this.#backoffs.set(key, backoff);
    }
    const delayMs = Math.max(backoff.nextMs(), atLeastMs);
    this.#retries += 1;
    this.addAfter(key, delayMs);
    return delayMs;
  }

  /** The key succeeded: its next failure starts the backoff anew. */
  forget(key: string): void {
    this.#backoffs.delete(key);
  }

  /** The next key, as soon as there is one; undefined once the queue is closed. Each key taken must be given to done(). */
  take(): Promise<string | undefined> {
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#takers.push(resolve);
      this.#handOut();
    });
  }

  done(key: string): void {
    this.#inWork.delete(key);
    if (this.#dirty.delete(key)) this.add(key);
  }

  /** Forgets every key and sends the workers home; what is in work ends by itself. */
  close(): void {
    this.#closed = true;
    this.#ready.clear();
    this.#dirty.clear();
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  #handOut(): void {
    if (this.#held) return;
    while (this.#takers.length > 0) {
      const next = this.#ready.next();
      if (next === undefined) return;
      this.#inWork.add(next.key);
      this.#onTaken(this.#clock.nowMs() - next.sinceMs);
      this.#takers.shift()?.(next.key);
    }
  }

  #undelay(key: string): void {
    this.#delayed.get(key)?.cancel();
    this.#delayed.delete(key);
  }
}
