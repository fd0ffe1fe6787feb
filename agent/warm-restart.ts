/**
 * An agent that starts has the answers that the one before it had cached: from that one over its socket while it lives, else
 * from the snapshot that it left on disk. All of it is help, and none of it is needed: whatever fails is said once, and the cache
 * is cold.
 *
 * Everything here runs in the serving thread, which holds the cache, in steps of less than a millisecond between queries; files are
 * read and written by the thread pool.
 */
import type { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SnapshotReader } from './cache/snapshot.ts';
import { CacheCount } from './cache-tally.ts';
import type { LogRecord } from './channel.ts';
import type { Clock, Timer } from './clock.ts';
import { HandOverSocket } from './hand-over.ts';
import { SnapshotFile } from './snapshot-file.ts';

/** A living agent serves meanwhile: time is not what is short. Without one nobody serves. */
const patienceMs = { peer: 3_000, disk: 1_000 };
/** An agent or a disk that hangs is not waited for. */
const idleMs = 500;

export const saveIntervalMs = 5 * 60_000;
/** Nodes that started together shall not write together: a fifth more or less. */
const saveJitter = 0.2;

/** The last snapshot is written while queries in flight are answered, for two seconds; the hottest answers come first. */
const lastSaveMs = 1_000;
/** A disk that hangs is not waited for. */
const stopMs = 1_500;

/** Where the answers are: the builder knows which block is which. */
export interface WarmCache {
  snapshot(wallMs: number, isEnough: () => boolean): Generator<Buffer | undefined, void>;
  reader(wallMs: number): SnapshotReader;
}

export type WarmRestartLog = (level: LogRecord['level'], msg: string, fields: Record<string, unknown>) => void;

/** What the process has; a test brings its own. */
export interface Surroundings {
  clock: Clock;
  /** Milliseconds since 1970, on the clock that processes share. */
  wallMs: () => number;
  random: () => number;
  log: WarmRestartLog;
  /** Between two snapshots. */
  saveIntervalMs: number;
}

const notLeft = 'the cache cannot be left to the next agent';

type Arrival = { late: boolean } | { trouble: string; code?: string | undefined };

export class WarmRestart {
  readonly #cache: WarmCache;
  readonly #changes: () => number;
  readonly #counts: Float64Array;
  readonly #around: Surroundings;
  readonly #socket: HandOverSocket;
  readonly #file: SnapshotFile;
  readonly #said = new Set<string>();
  #restored = false;
  #breakOff = () => {};
  #started = false;
  #listening: Promise<void> = Promise.resolve();
  #savedChanges: number;
  #saving: Promise<void> = Promise.resolve();
  #nextSave: Timer | undefined;

  /**
   * @param changes grows with each change of the cache
   * @param counts the cache's tally
   */
  constructor(stateDir: string, cache: WarmCache, changes: () => number, counts: Float64Array, around: Surroundings) {
    this.#cache = cache;
    this.#changes = changes;
    this.#counts = counts;
    this.#around = around;
    this.#socket = new HandOverSocket(stateDir);
    this.#file = new SnapshotFile(stateDir);
    this.#savedChanges = changes();
  }

  /** Once in a process, when the first configuration has been built: what comes later is older than what this one knows. Never rejects. */
  async restore(): Promise<void> {
    if (this.#restored) return;
    this.#restored = true;
    try {
      const peer = this.#socket.connect();
      if (peer !== undefined && (await this.#takeFrom('peer', peer))) return;
      await this.#takeFrom('disk', this.#file.read());
    } catch (error) {
      this.#sayOnce('restoring the cache threw', error);
    }
  }

  /** Nobody will ask for what is restored now: {@link restore} ends at once. */
  giveUp(): void {
    this.#restored = true;
    this.#breakOff();
  }

  /** From now on this agent has something to give. Never rejects. */
  async start(): Promise<void> {
    if (this.#started) return;
    this.#started = true;
    this.#planSave();
    this.#listening = this.#listen();
    await this.#listening;
  }

  async #listen(): Promise<void> {
    try {
      await this.#socket.listen(
        () => this.#cache.snapshot(this.#around.wallMs(), () => false),
        (error) => this.#sayOnce('handing the cache over threw', error),
      );
    } catch (error) {
      this.#sayOnce(notLeft, error);
    }
  }

  /** Leaves the cache to whoever comes next, within a second and a half. Never rejects. */
  async stop(): Promise<void> {
    if (!this.#started) return;
    this.#nextSave?.cancel();
    const { clock } = this.#around;
    const endMs = clock.nowMs() + lastSaveMs;
    // A socket that appears after its end would be left over, and whoever takes the path must be known to leave it.
    const last = this.#listening.then(() => this.#save(() => clock.nowMs() >= endMs)).then(() => this.#socket.close());
    await Promise.race([last, new Promise<void>((resolve) => clock.after(stopMs, resolve))]);
  }

  /** The cache is nobody's but this process's, from now on: what was left for others goes. Never rejects. */
  async forget(): Promise<void> {
    this.#nextSave?.cancel();
    this.#started = false;
    try {
      await Promise.all([this.#listening, this.#saving]);
      await this.#socket.close();
      await this.#file.remove();
    } catch (error) {
      this.#sayOnce('a snapshot of the cache is left over', error);
    }
  }

  async #takeFrom(source: 'peer' | 'disk', stream: Readable): Promise<boolean> {
    const { clock, wallMs, log } = this.#around;
    const startMs = clock.nowMs();
    const reader = this.#cache.reader(wallMs());
    const givenUp = new Promise<void>((resolve) => {
      this.#breakOff = resolve;
    });
    const arrival = await arrivalOf(stream, reader, patienceMs[source], clock, givenUp);
    if ('trouble' in arrival) {
      if (!isAbsence(arrival.code)) log('warn', 'cache snapshot not used', { source, error: arrival.trouble });
      return false;
    }
    const answers = await storeAll(reader);
    const at = source === 'peer' ? CacheCount.restoredFromPeer : CacheCount.restoredFromDisk;
    this.#counts[at] = (this.#counts[at] ?? 0) + answers;
    log('info', 'cache restored', {
      source,
      answers,
      ageMs: Math.round(reader.elapsedMs),
      durationMs: Math.round(clock.nowMs() - startMs),
      ...(arrival.late && { late: true }),
    });
    return true;
  }

  #planSave(): void {
    const { clock, random, saveIntervalMs } = this.#around;
    this.#nextSave = clock.after(saveIntervalMs * (1 + saveJitter * (2 * random() - 1)), () => {
      void this.#save(() => false);
      this.#planSave();
    });
  }

  /** One after the other. */
  #save(isEnough: () => boolean): Promise<void> {
    this.#saving = this.#saving.then(async () => {
      const changes = this.#changes();
      if (changes === this.#savedChanges || !(await this.#socket.isOwner())) return;
      try {
        await this.#file.write(this.#cache.snapshot(this.#around.wallMs(), isEnough));
        this.#savedChanges = changes;
      } catch (error) {
        this.#sayOnce(notLeft, error);
      }
    });
    return this.#saving;
  }

  /** A folder that cannot be written fails the socket and each file in words of their own, but with one code. */
  #sayOnce(msg: string, error: unknown): void {
    const { code, message } = error as NodeJS.ErrnoException;
    const trouble = `${msg}: ${code ?? message}`;
    if (this.#said.has(trouble)) return;
    this.#said.add(trouble);
    this.#around.log('warn', msg, { error: message });
  }
}

/** Nobody is there, or an agent that was killed left its socket behind: the usual case. Where there is no folder, leaving the cache there tells. */
function isAbsence(code: string | undefined): boolean {
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ECONNREFUSED';
}

/**
 * Feeds the reader until the stream ends, or patience does, or nobody wants it any more. A snapshot that is late is good as far as
 * it came; one that is damaged or cut off is not used: the next source has a whole one.
 */
function arrivalOf(
  stream: Readable,
  reader: SnapshotReader,
  totalMs: number,
  clock: Clock,
  givenUp: Promise<void>,
): Promise<Arrival> {
  return new Promise((resolve) => {
    const end = (arrival: Arrival) => {
      total.cancel();
      idle.cancel();
      stream.destroy();
      resolve(arrival);
    };
    const silent = () => end({ trouble: `nothing came for ${idleMs} ms` });
    const total = clock.after(totalMs, () => end({ late: true }));
    void givenUp.then(() => end({ late: true }));
    let idle = clock.after(idleMs, silent);
    stream.on('data', (octets: Buffer) => {
      idle.cancel();
      idle = clock.after(idleMs, silent);
      const trouble = reader.push(octets);
      if (trouble !== undefined) end({ trouble });
    });
    stream.on('end', () => {
      const trouble = reader.finish();
      end(trouble === undefined ? { late: false } : { trouble });
    });
    stream.on('error', (error: NodeJS.ErrnoException) => end({ trouble: error.message, code: error.code }));
  });
}

async function storeAll(reader: SnapshotReader): Promise<number> {
  const steps = reader.store();
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    await nextTurn();
  }
}
