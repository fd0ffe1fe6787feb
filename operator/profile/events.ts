import { createHash } from 'node:crypto';
import { apiVersion, group, operatorManager, profileKind } from '../../api/v1alpha1/labels.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../kube/clock.ts';
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
}

/** An Event lives for an hour by default (kube-apiserver --event-ttl): until then, saying it again adds nothing. */
const REPEAT_AFTER_MS = 3_600_000;
/** A subject that keeps changing its mind must not fill etcd: the API server's own budget is one per five minutes in the long run. */
const MAX_PER_SUBJECT = 10;
/** Remembered subjects; beyond, the oldest is forgotten and may be told once more. */
const MAX_SUBJECTS = 5_000;
/** The API refuses longer notes (events.k8s.io/v1, `note`). */
const MAX_NOTE_BYTES = 1_024;

/**
 * Tells people on the object itself what an edit of theirs came to. The same words about the same object are told once an
 * hour, and ten different ones at most; an event that cannot be written is dropped, since the status says it too.
 */
export class EventRecorder {
  readonly #client: Pick<KubeClient, 'create'>;
  readonly #clock: Clock;
  readonly #instance: string;
  readonly #onFailure: (error: unknown) => void;
  readonly #told = new Map<string, { sinceMs: number; words: Set<string> }>();

  constructor(client: Pick<KubeClient, 'create'>, clock: Clock, instance: string, onFailure: (error: unknown) => void) {
    this.#client = client;
    this.#clock = clock;
    this.#instance = instance;
    this.#onFailure = onFailure;
  }

  async warn(subject: Subject, reason: string, note: string): Promise<void> {
    const words = `${reason} ${note}`;
    if (!this.#isNews(subject.uid, words)) return;
    const now = this.#clock.date();
    const print = createHash('sha256').update(`${subject.uid} ${words} ${now.getTime()}`).digest('hex').slice(0, 16);
    try {
      await this.#client.create<Event>(EVENTS, {
        // Events about cluster-scoped objects live in the namespace "default" (API conventions, "Events").
        metadata: { name: `${subject.name}.${print}`, namespace: 'default' },
        eventTime: now.toISOString().replace('Z', '000Z'),
        reportingController: `${group}/${operatorManager}`,
        reportingInstance: this.#instance,
        type: 'Warning',
        reason,
        action: 'Reconcile',
        note: cut(note),
        regarding: subject,
      });
    } catch (error) {
      this.#onFailure(error);
    }
  }

  #isNews(uid: string, words: string): boolean {
    const nowMs = this.#clock.nowMs();
    let told = this.#told.get(uid);
    if (told === undefined || nowMs - told.sinceMs >= REPEAT_AFTER_MS) {
      told = { sinceMs: nowMs, words: new Set() };
      this.#told.delete(uid);
      this.#told.set(uid, told);
      const [oldest] = this.#told.keys();
      if (this.#told.size > MAX_SUBJECTS && oldest !== undefined) this.#told.delete(oldest);
    }
    if (told.words.has(words) || told.words.size >= MAX_PER_SUBJECT) return false;
    told.words.add(words);
    return true;
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
