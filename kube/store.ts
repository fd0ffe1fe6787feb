import { isDeepStrictEqual } from 'node:util';
import { Backoff, type BackoffRange } from './backoff.ts';
import type { KubeClient, Page, Scope } from './client.ts';
import { type Clock, sleep, systemClock } from './clock.ts';
import { ApiError, KubeError, UnreachableError } from './errors.ts';
import { type KubeObject, keyOf, type ObjectMeta, type Resource } from './resource.ts';
import type { WatchEvent } from './watch-stream.ts';

export interface StoreOptions<T extends KubeObject, K> extends Scope {
  readonly client: Pick<KubeClient, 'list' | 'watch'>;
  readonly resource: Resource;
  /** What to retain of an object: five thousand whole Nodes are 100 MB. A change outside of it is not reported. */
  readonly keep: (object: T) => K;
  /** Called once per change of state: with what is wrong, then with undefined once list and watch work again. */
  readonly onTrouble?: (trouble: Trouble | undefined) => void;
  readonly clock?: Clock;
  readonly timing?: Partial<StoreTiming>;
}

/** Something keeps the store from following; it keeps what it had, and keeps trying. */
export interface Trouble {
  /** Stable, of a KubeError; INTERNAL for an exception of our own. */
  readonly code: string;
  /** One line. */
  readonly message: string;
}

export interface StoreTiming {
  /** Objects per page of a list. */
  readonly pageSize: number;
  /** A list page that takes longer is given up. */
  readonly listTimeoutMs: number;
  /** How long the server shall keep a watch, ± 10 %, so that a fleet's watches do not end together. */
  readonly watchTimeoutSeconds: number;
  /** A watch that is not begun to be answered by then is dead: the API server answers at once, also where it has nothing to tell. */
  readonly watchOpenMs: number;
  /** A watch that is silent for so long is dead: bookmarks come about once a minute. Costs one request to find out. */
  readonly watchIdleMs: number;
  /** What a watch may take beyond its timeout before we end it ourselves. */
  readonly watchGraceMs: number;
  readonly backoff: BackoffRange;
  /** A watch that lived so long was a success: only then does the backoff start over. */
  readonly healthyAfterMs: number;
  /** The longest wait for a missing kind: its CRD is usually being installed at this very moment. */
  readonly missingKindMaxMs: number;
  /** The longest wait where somebody does nothing before all is read anew. */
  readonly awaitedMaxMs: number;
}

const TIMING: StoreTiming = {
  // Of whole Nodes, which are 10 KB and more each: a page stands in memory several times over while it is read.
  pageSize: 250,
  listTimeoutMs: 60_000,
  watchTimeoutSeconds: 300,
  watchOpenMs: 15_000,
  watchIdleMs: 120_000,
  watchGraceMs: 15_000,
  backoff: { minMs: 800, maxMs: 30_000 },
  healthyAfterMs: 10_000,
  missingKindMaxMs: 3_000,
  awaitedMaxMs: 2_000,
};

/** What is read by its name alone: a connection each. */
const NAMED_AT_ONCE = 8;

/** So many watches in a row that broke before they were proven are no accident. */
const BROKEN_WATCHES_TO_REPORT = 3;

export type OnChange<K> = (key: string, old: K | undefined, now: K | undefined) => void;

/**
 * The objects of one kind as the API server has them, followed by list and watch:
 *
 *   list ──ok──▶ watch ──ended──▶ watch again from the last version seen
 *    ▲             │ 410, or no version
 *    └─── wait ◀───┴── any failure: keep what we have, say so once, try again
 *
 * It never gives up and never forgets: while the API server is away, get() and list() answer from the last state. An object
 * that vanished meanwhile is reported as a deletion after the next list. Whoever has to know what is true at this moment asks for
 * refresh(). Knows nothing of what the objects mean.
 */
export class Store<T extends KubeObject, K> {
  readonly synced: Promise<void>;
  readonly #options: StoreOptions<T, K>;
  readonly #timing: StoreTiming;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #abort = new AbortController();
  readonly #listeners: OnChange<K>[] = [];
  readonly #objects = new Map<string, K>();
  /** Which version of each it is that is kept. */
  readonly #versions = new Map<string, string | undefined>();
  #resourceVersion: string | undefined;
  #resolveSynced: () => void = () => {};
  #trouble: Trouble | undefined;
  /** Of the watch of this round: not (yet) accepted, accepted, or alive for healthyAfterMs. */
  #health: 'closed' | 'open' | 'proven' = 'closed';
  /** This round has listed: a version that expires now came from the list just made. */
  #listed = false;
  #brokenWatches = 0;
  #running: Promise<void> | undefined;
  /** Ends the watch or the wait of this round: all is to be read anew. */
  #interrupt = new AbortController();
  /** Told once a list has been taken in that began after they asked. */
  #awaiting: (() => void)[] = [];

  constructor(options: StoreOptions<T, K>) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    this.#clock = options.clock ?? systemClock;
    this.#backoff = new Backoff(this.#timing.backoff, () => this.#clock.random());
    this.synced = new Promise((resolve) => {
      this.#resolveSynced = resolve;
    });
  }

  /** What is wrong now, or undefined while the store follows. */
  get trouble(): Trouble | undefined {
    return this.#trouble;
  }

  /** Which kind it follows, for messages and metrics. */
  get plural(): string {
    return this.#options.resource.plural;
  }

  /** Starts following. A second call does nothing. */
  start(): void {
    this.#running ??= this.#follow();
  }

  /** Ends list, watch and wait at once; resolves when nothing runs any more. What was kept can still be read. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  get(key: string): K | undefined {
    return this.#objects.get(key);
  }

  list(): IterableIterator<K> {
    return this.#objects.values();
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Called after each change of what is kept, with the store already in its new state. Must not throw. */
  onChange(listener: OnChange<K>): void {
    this.#listeners.push(listener);
  }

  /**
   * Resolves once what is kept is no older than this call, however long that takes, or once `signal` says that nobody waits for it any more.
   * A watch that is open proves nothing: its stream may have been dead for minutes.
   */
  async refresh(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return;
    await new Promise<void>((resolve) => {
      const giveUp = (): void => {
        this.#awaiting = this.#awaiting.filter((told) => told !== resolve);
        resolve();
      };
      signal?.addEventListener('abort', giveUp, { once: true });
      this.#awaiting.push(resolve);
      this.#interrupt.abort();
    });
  }

  async #follow(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      this.#interrupt = new AbortController();
      this.#health = 'closed';
      this.#listed = false;
      const failure = await this.#round(signal);
      if (signal.aborted) return;
      if (this.#interrupt.signal.aborted) continue;
      // A version that expired while we were away is no fault of the server's: what it has now is asked for at once.
      if (isGone(failure) && !this.#listed) continue;
      if (failure !== undefined) this.#report(failure);
      // A long watch that ended in order is followed by the next one at once; everything else waits, or it would loop hot.
      if (failure === undefined && this.#hasBeenHealthy()) continue;
      await sleep(this.#clock, this.#waitMs(failure), AbortSignal.any([signal, this.#interrupt.signal]));
    }
  }

  /** One list where needed, and one watch. Returns why it ended; undefined when the server ended the watch in order. */
  async #round(signal: AbortSignal): Promise<unknown> {
    try {
      if (this.#resourceVersion === undefined || this.#awaiting.length > 0) await this.#relist(signal);
      await this.#watch(AbortSignal.any([signal, this.#interrupt.signal]));
      return undefined;
    } catch (error) {
      if (isGone(error)) this.#resourceVersion = undefined;
      return error;
    }
  }

  async #relist(signal: AbortSignal): Promise<void> {
    const awaiting = [...this.#awaiting];
    this.#resourceVersion = (await this.#compare(signal)) ?? (await this.#readAll(signal));
    this.#listed = true;
    this.#resolveSynced();
    this.#awaiting = this.#awaiting.filter((told) => !awaiting.includes(told));
    for (const told of awaiting) told();
  }

  /**
   * Reads by name and version what there is, and whole only what is known in another version: nearly all of it is known, and thousands of
   * whole objects take seconds. All that is asked of two versions is whether they are the same. Undefined where more has changed than a page.
   */
  async #compare(signal: AbortSignal): Promise<string | undefined> {
    const { client, resource, keep } = this.#options;
    const { listTimeoutMs: timeoutMs, pageSize } = this.#timing;
    if (this.size === 0) return undefined;
    // In one piece: of a page API servers before 1.34 decode every object whole, while all of them together are in their memory.
    const query = { ...this.#scope(), timeoutMs, signal, metadataAlone: true };
    const { items, resourceVersion } = await client.list(resource, query);
    const listed = new Set(items.map(({ metadata }) => keyOf(metadata)));
    const changed = items.filter(({ metadata }) => !this.#has(metadata));
    if (changed.length > pageSize) return undefined;
    const fresh = await this.#readNamed(changed, resourceVersion, signal);
    // That version is gone already, somebody on the way answers from the past, or one of them could not be read.
    if (fresh.length < changed.length) return undefined;
    for (const key of this.#objects.keys()) if (!listed.has(key)) this.#put(key, undefined);
    for (const object of fresh) this.#put(keyOf(object.metadata), keep(object), object.metadata.resourceVersion);
    return resourceVersion;
  }

  /** Each of them exactly as it was in the list of this version, from which the watch goes on; fewer where that is known no more. */
  async #readNamed(named: readonly KubeObject[], asOf: string, signal: AbortSignal): Promise<T[]> {
    const { client, resource } = this.#options;
    const waiting = [...named];
    const fresh: T[] = [];
    const readSome = async (): Promise<void> => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
        const { namespace, name, resourceVersion } = next.metadata;
        const { fieldSelector: ours, ...scope } = this.#scope();
        // By a list, since whoever may list need not be allowed to get.
        const fieldSelector = [ours, `metadata.name=${name}`].filter(Boolean).join();
        const { listTimeoutMs: timeoutMs } = this.#timing;
        try {
          const query = { ...scope, namespace, fieldSelector, asOf, timeoutMs, signal };
          const { items } = await client.list<T>(resource, query);
          fresh.push(...items.filter(({ metadata }) => metadata.resourceVersion === resourceVersion));
        } catch {
          // The list that follows says what is wrong, where anything is: one request of many may fail.
          waiting.length = 0;
        }
      }
    };
    await Promise.all(Array.from({ length: NAMED_AT_ONCE }, readSome));
    return fresh;
  }

  #has(metadata: ObjectMeta): boolean {
    return this.#versions.get(keyOf(metadata)) === metadata.resourceVersion;
  }

  async #readAll(signal: AbortSignal): Promise<string> {
    const { client, resource, keep } = this.#options;
    const fresh = new Map<string, readonly [K, string | undefined]>();
    let limit: { limit?: number } = { limit: this.#timing.pageSize };
    let page: Page<T> | undefined;
    do {
      try {
        const query = {
          ...this.#scope(),
          ...limit,
          continue: page?.continue,
          timeoutMs: this.#timing.listTimeoutMs,
          signal,
        };
        page = await client.list<T>(resource, query);
      } catch (error) {
        // The continue token expired while we were paging: once more, in one piece, which needs no token.
        if (page === undefined || !isGone(error)) throw error;
        fresh.clear();
        page = undefined;
        limit = {};
        continue;
      }
      for (const object of page.items) {
        fresh.set(keyOf(object.metadata), [keep(object), object.metadata.resourceVersion]);
      }
    } while (page === undefined || page.continue !== undefined);

    for (const key of this.#objects.keys()) if (!fresh.has(key)) this.#put(key, undefined);
    for (const [key, [object, version]] of fresh) this.#put(key, object, version);
    return page.resourceVersion;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { client, resource } = this.#options;
    const { watchTimeoutSeconds, watchOpenMs, watchIdleMs, watchGraceMs } = this.#timing;
    let cancel = (): void => {};
    const query = {
      ...this.#scope(),
      resourceVersion: this.#resourceVersion ?? '',
      timeoutSeconds: Math.round(watchTimeoutSeconds * (0.9 + this.#clock.random() / 5)),
      openMs: watchOpenMs,
      idleMs: watchIdleMs,
      graceMs: watchGraceMs,
      signal,
      onOpen: () => {
        this.#opened();
        cancel = this.#clock.after(this.#timing.healthyAfterMs, () => this.#proven());
      },
    };
    await client.watch(resource, query, (event) => this.#take(event)).finally(() => cancel());
  }

  #take(event: WatchEvent): void {
    const object = event.object as T;
    const key = keyOf(object.metadata);
    const { resourceVersion } = object.metadata;
    if (event.type === 'DELETED') this.#put(key, undefined);
    else if (event.type !== 'BOOKMARK') this.#put(key, this.#options.keep(object), resourceVersion);
    this.#resourceVersion = resourceVersion ?? this.#resourceVersion;
  }

  #put(key: string, now: K | undefined, version?: string): void {
    if (now === undefined) this.#versions.delete(key);
    else this.#versions.set(key, version);
    const old = this.#objects.get(key);
    if (isDeepStrictEqual(old, now)) return;
    if (now === undefined) this.#objects.delete(key);
    else this.#objects.set(key, now);
    for (const listener of this.#listeners) listener(key, old, now);
  }

  #scope(): Scope {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    return { namespace, labelSelector, fieldSelector };
  }

  #waitMs(failure: unknown): number {
    const nextMs = this.#backoff.nextMs();
    const backoffMs = this.#awaiting.length > 0 ? Math.min(nextMs, this.#timing.awaitedMaxMs) : nextMs;
    if (!(failure instanceof ApiError)) return backoffMs;
    if (failure.code === 'KUBE_RESOURCE_MISSING') return Math.min(backoffMs, this.#timing.missingKindMaxMs);
    // Where the server says how long, it knows better: after an outage it is back sooner than a long backoff thinks.
    return failure.retryAfterMs > 0 ? failure.retryAfterMs : backoffMs;
  }

  /** The server accepts what we ask; a watch that keeps breaking is not cured by opening it once more. */
  #opened(): void {
    this.#health = 'open';
    if (this.#brokenWatches < BROKEN_WATCHES_TO_REPORT) this.#recover();
  }

  /** The watch has lived: whatever was wrong is over. */
  #proven(): void {
    this.#health = 'proven';
    this.#brokenWatches = 0;
    this.#backoff.reset();
    this.#recover();
  }

  #hasBeenHealthy(): boolean {
    return this.#health === 'proven';
  }

  #report(failure: unknown): void {
    // An expired version is how the API says "list again", and a watch may break now and then: neither is news.
    if (isGone(failure)) return;
    if (this.#health !== 'closed' && failure instanceof UnreachableError) {
      this.#brokenWatches += 1;
      if (this.#brokenWatches < BROKEN_WATCHES_TO_REPORT) return;
    }
    const known = failure instanceof KubeError;
    const trouble = { code: known ? failure.code : 'INTERNAL', message: known ? failure.message : String(failure) };
    const changed = trouble.code !== this.#trouble?.code;
    this.#trouble = trouble;
    if (changed) this.#options.onTrouble?.(trouble);
  }

  #recover(): void {
    if (this.#trouble === undefined) return;
    this.#trouble = undefined;
    this.#options.onTrouble?.(undefined);
  }
}

function isGone(failure: unknown): boolean {
  return failure instanceof ApiError && failure.isGone;
}
