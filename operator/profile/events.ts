import { createHash } from 'node:crypto';
import { apiVersion, group, operatorManager, profileKind } from '../../api/v1alpha1/labels.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../kube/clock.ts';
import { ApiError } from '../../kube/errors.ts';
import { EVENTS, type KubeObject } from '../../kube/resource.ts';

/** The object an event is about. */
export interface Subject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

export function profileSubject(name: string, uid: string): Subject {
  return { apiVersion, kind: profileKind.kind, name, uid };
}

export function nodeSubject(name: string, uid: string): Subject {
  return { apiVersion: 'v1', kind: 'Node', name, uid };
}

/** events.k8s.io/v1 Event, as far as it is written here. */
interface Event extends KubeObject {
  readonly eventTime: string;
  readonly reportingController: string;
  readonly reportingInstance: string;
  readonly type: 'Warning';
  readonly reason: string;
  readonly action: string;
  readonly note: string;
  readonly regarding: Subject;
  readonly series?: Series;
}

interface Series {
  /** At least 2: the API wants no series of one. */
  readonly count: number;
  readonly lastObservedTime: string;
}

/**
 * So many different ones of one reason about one subject so often: one that keeps changing its mind must not fill etcd, nor keep from
 * people what is said for another reason.
 */
const BUDGET_MS = 3_600_000;
const MAX_PER_REASON = 10;
/** Remembered subjects; beyond, the oldest is forgotten, and what is said of it next is found in the API. */
const MAX_SUBJECTS = 5_000;
/** After the second time a series is written so often: as often as the API server's own clients may write events in the long run. */
const SERIES_MS = 300_000;
/** What lasts is said again before the Event expires, after an hour by default (kube-apiserver --event-ttl). */
const LASTING_MS = 1_800_000;
/** What could not be written is tried again after this, and then after twice as long each time: for five minutes in all. */
const RETRY_MS = 10_000;
const RETRIES = 5;
/** The API refuses longer notes (events.k8s.io/v1, `note`). */
const MAX_NOTE_BYTES = 1_024;
/** Events about cluster-scoped objects live here (API conventions, "Events"). */
const namespace = 'default';

/** The same words about the same object. */
interface Told {
  readonly name: string;
  readonly reason: string;
  /** Ends that it is tried again. */
  cancel: () => void;
  count: number;
  writtenMs: number;
}

/**
 * Tells people on the object itself what an edit of theirs came to. The same words about the same object are one Event: it becomes a
 * series, which counts them, and which an operator that takes over goes on with. One that cannot be written holds up nobody: it is tried
 * again for a while, since nobody says a second time what has come of an edit, and dropped then, since the status says it too.
 */
export class EventRecorder {
  readonly #client: Pick<KubeClient, 'create' | 'get' | 'mergePatch'>;
  readonly #clock: Clock;
  readonly #instance: string;
  readonly #onFailure: (error: unknown) => void;
  readonly #subjects = new Map<string, { sinceMs: number; told: Map<string, Told> }>();
  readonly #retries = new Set<Told>();
  #isStopped = false;

  constructor(
    client: Pick<KubeClient, 'create' | 'get' | 'mergePatch'>,
    clock: Clock,
    instance: string,
    onFailure: (error: unknown) => void,
  ) {
    this.#client = client;
    this.#clock = clock;
    this.#instance = instance;
    this.#onFailure = onFailure;
  }

  /** `lasts`: it is said at every look for as long as it is so, which is not each time anew. */
  async warn(subject: Subject, reason: string, note: string, { lasts = false } = {}): Promise<void> {
    const told = this.#toldOf(subject, reason, note);
    if (told === undefined) return;
    const nowMs = this.#clock.nowMs();
    const sinceMs = nowMs - told.writtenMs;
    if (lasts && sinceMs < LASTING_MS) return;
    told.count += 1;
    if (told.count > 2 && sinceMs < SERIES_MS) return;
    told.writtenMs = nowMs;
    await this.#write(told, subject, note);
  }

  /** What waits to be tried again is dropped. */
  stop(): void {
    this.#isStopped = true;
    for (const { cancel } of this.#retries) cancel();
  }

  async #write(told: Told, subject: Subject, note: string, failed = 0): Promise<void> {
    told.cancel();
    this.#retries.delete(told);
    try {
      if (told.count > 1 && (await this.#goOn(told))) return;
      told.count = 1;
      await this.#begin(told, subject, note);
    } catch (error) {
      this.#onFailure(error);
      if (failed === RETRIES || this.#isStopped) return;
      const again = (): void => void this.#write(told, subject, note, failed + 1);
      told.cancel();
      told.cancel = this.#clock.after(RETRY_MS * 2 ** failed, again);
      this.#retries.add(told);
    }
  }

  async #begin(told: Told, regarding: Subject, note: string): Promise<void> {
    try {
      await this.#client.create<Event>(EVENTS, {
        metadata: { name: told.name, namespace },
        eventTime: this.#time(),
        reportingController: `${group}/${operatorManager}`,
        reportingInstance: this.#instance,
        type: 'Warning',
        reason: told.reason,
        action: 'Reconcile',
        note: cut(note),
        regarding,
      });
    } catch (error) {
      if (!(error instanceof ApiError && error.isConflict)) throw error;
      // Its name is its words: an operator before this one said the same, or this one, long ago.
      const event = await this.#client.get<Event>(EVENTS, told.name, { namespace });
      told.count = (event?.series?.count ?? 1) + 1;
      await this.#goOn(told);
    }
  }

  /** False where the Event has expired. */
  async #goOn({ name, count }: Told): Promise<boolean> {
    const series: Series = { count, lastObservedTime: this.#time() };
    try {
      await this.#client.mergePatch<Event>(EVENTS, name, { series }, { namespace });
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.isNotFound) return false;
      throw error;
    }
  }

  /** Undefined where the subject has been told enough for now. */
  #toldOf({ name, uid }: Subject, reason: string, note: string): Told | undefined {
    const words = `${reason} ${note}`;
    const nowMs = this.#clock.nowMs();
    let subject = this.#subjects.get(uid);
    if (subject === undefined || nowMs - subject.sinceMs >= BUDGET_MS) {
      subject = { sinceMs: nowMs, told: new Map() };
      this.#subjects.delete(uid);
      this.#subjects.set(uid, subject);
      const [oldest] = this.#subjects.keys();
      if (this.#subjects.size > MAX_SUBJECTS && oldest !== undefined) this.#subjects.delete(oldest);
    }
    const before = subject.told.get(words);
    const alike = [...subject.told.values()].filter((one) => one.reason === reason);
    if (before !== undefined || alike.length >= MAX_PER_REASON) return before;
    const print = createHash('sha256').update(`${uid} ${words}`).digest('hex').slice(0, 16);
    const written = { count: 0, writtenMs: Number.NEGATIVE_INFINITY };
    const told = { name: `${name}.${print}`, reason, cancel: () => {}, ...written };
    subject.told.set(words, told);
    return told;
  }

  /** As a MicroTime, which the API wants with six digits. */
  #time(): string {
    return this.#clock.date().toISOString().replace('Z', '000Z');
  }
}

/** By bytes, without half a character at the end. */
function cut(note: string): string {
  const bytes = Buffer.from(note);
  return bytes.length <= MAX_NOTE_BYTES
    ? note
    : bytes
        .subarray(0, MAX_NOTE_BYTES)
        .toString()
        .replace(/\uFFFD$/, '');
}
