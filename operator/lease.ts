/**
 * Leader election by a Lease, as client-go does it: of several operators the one whose name stands in the Lease acts, as long as it
 * renews it. The clocks of others do not matter: a candidate measures on its own how long a record has stood unchanged.
 *
 *   candidate ──absent, free, or unchanged for its duration──▶ leader ──renewed──▶ leader
 *       ▲                                                        │
 *       └────── no renewal for renewDeadlineMs, or taken over ───┘
 *
 * What a client-go leader has not is a fence: isHeld() says at each write whether the last renewal still stands. It ends
 * renewDeadlineMs after that renewal was sent, when no other can have it before durationMs, so that a write which may take the
 * time between the two is over before somebody else leads.
 */
import { isDeepStrictEqual } from 'node:util';
import type { KubeClient } from '../kube/client.ts';
import { type Clock, sleep } from '../kube/clock.ts';
import { ApiError, KubeError } from '../kube/errors.ts';
import { type KubeObject, LEASES } from '../kube/resource.ts';
import type { Trouble } from '../kube/store.ts';

export interface LeaseTiming {
  /** So long after the last renewal that it saw, a candidate takes over. Whole seconds. */
  readonly durationMs: number;
  /** So long after the last renewal that it sent, a leader stops acting. */
  readonly renewDeadlineMs: number;
  /** How often a leader renews; a candidate looks twice as often, so that a Lease given back is taken within a second. */
  readonly retryMs: number;
}

export const defaultLeaseTiming: LeaseTiming = { durationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 };

/** coordination.k8s.io/v1 Lease, as far as it is read and written here. */
interface Lease extends KubeObject {
  readonly spec?: LeaseRecord;
}

interface LeaseRecord {
  readonly holderIdentity?: string | null;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

export interface LeaderElectionOptions {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'mergePatch' | 'delete'>;
  readonly namespace: string;
  readonly name: string;
  /** Of this process alone: one that is started anew is another. */
  readonly identity: string;
  readonly timing: LeaseTiming;
  readonly clock: Clock;
  /** Called when this process begins to lead, and when it does not any more. */
  readonly onChange: (leads: boolean) => void;
  /** Called with what keeps the Lease from being read or written, and with undefined once it works again. */
  readonly onTrouble: (trouble: Trouble | undefined) => void;
}

/** Until when a renewal stands, by both clocks: one stops while a virtual machine is suspended, the other may be set back. */
interface Deadline {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #abort = new AbortController();
  /** The record as seen last, and since when it has been seen like this. */
  #record: LeaseRecord = {};
  #observedMs = 0;
  #resourceVersion: string | undefined;
  #uid: string | undefined;
  #leads = false;
  #until: Deadline = { monotonicMs: 0, wallMs: 0 };
  #cancelExpiry = (): void => {};
  #trouble: Trouble | undefined;
  #running: Promise<void> | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
  }

  /** Whether this process may act at this very moment. */
  isHeld(): boolean {
    const { clock } = this.#options;
    return this.#leads && clock.nowMs() < this.#until.monotonicMs && clock.date().getTime() < this.#until.wallMs;
  }

  /** Who leads, as far as is known; '' where nobody does. */
  get holder(): string {
    return this.#record.holderIdentity ?? '';
  }

  start(): void {
    this.#running ??= this.#contend();
  }

  /**
   * Contends no more. With `release`, a Lease that is held is given back, and another takes it at its next look; without, it runs
   * out by itself: right wherever something that this process began may still be under way. With `isLast` nobody is to come after it, and the Lease
   * goes altogether: who is installed one day need not wait for anybody.
   */
  async stop({ release, isLast = false }: { readonly release: boolean; readonly isLast?: boolean }): Promise<void> {
    this.#abort.abort();
    await this.#running;
    const held = this.isHeld();
    this.#lose();
    if (!held || !release) return;
    const { client, namespace, name } = this.#options;
    try {
      if (isLast) return await client.delete(LEASES, name, { uid: this.#uid }, { namespace });
      // As client-go does: nobody holds it, and its duration is over at once.
      await this.#patch({ holderIdentity: null, leaseDurationSeconds: 1, renewTime: this.#now() });
    } catch (error) {
      this.#tell(troubleOf(error));
    }
  }

  #tell(trouble: Trouble | undefined): void {
    if (trouble?.code === this.#trouble?.code) return;
    this.#trouble = trouble;
    this.#options.onTrouble(trouble);
  }

  async #contend(): Promise<void> {
    const { clock, timing } = this.#options;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      const beganMs = clock.nowMs();
      try {
        await this.#acquireOrRenew();
        this.#tell(undefined);
      } catch (error) {
        this.#resourceVersion = undefined;
        // Somebody wrote first, which is no trouble: the next look says who.
        if (!isConflict(error)) this.#tell(troubleOf(error));
      }
      // Chance keeps two candidates from meeting again and again.
      const periodMs = this.#leads ? timing.retryMs : (timing.retryMs / 2) * (1 - clock.random() / 5);
      // An answer that never came has taken the time of the pause already, and more.
      await sleep(clock, Math.max(0, periodMs - (clock.nowMs() - beganMs)), signal);
    }
  }

  async #acquireOrRenew(): Promise<void> {
    if (this.#leads && this.#resourceVersion !== undefined) {
      try {
        // A leader knows what stands there, and writes without looking.
        return await this.#write();
      } catch (error) {
        // Or so it thought. It may have been a write of its own, whose answer was lost.
        if (!isConflict(error)) throw error;
      }
    }
    const { client, namespace, name } = this.#options;
    this.#observe(await client.get<Lease>(LEASES, name, { namespace }));
    if (this.#isOthers()) this.#lose();
    else await this.#write();
  }

  async #write(): Promise<void> {
    const { client, namespace, name, identity, timing } = this.#options;
    const renewTime = this.#now();
    const record: LeaseRecord = {
      holderIdentity: identity,
      leaseDurationSeconds: timing.durationMs / 1000,
      renewTime,
      ...(this.holder === identity ? {} : { acquireTime: renewTime, leaseTransitions: this.#transitions() }),
    };
    // From before it was sent: others count from when they see it, which can only be later.
    const until = this.#deadline();
    const written =
      this.#resourceVersion === undefined
        ? await client.create<Lease>(LEASES, { metadata: { name, namespace }, spec: record })
        : await this.#patch(record);
    this.#observe(written);
    this.#hold(until);
  }

  /** The resourceVersion lets exactly one of several writers through. */
  #patch(spec: LeaseRecord): Promise<Lease> {
    const { client, namespace, name } = this.#options;
    const metadata = { resourceVersion: this.#resourceVersion };
    return client.mergePatch<Lease>(LEASES, name, { metadata, spec }, { namespace });
  }

  /** A Lease that is gone leaves its record standing: who held it may not know yet. */
  #observe(lease: Lease | undefined): void {
    this.#resourceVersion = lease?.metadata.resourceVersion;
    this.#uid = lease?.metadata.uid;
    if (lease === undefined || isDeepStrictEqual(lease.spec ?? {}, this.#record)) return;
    this.#record = lease.spec ?? {};
    this.#observedMs = this.#options.clock.nowMs();
  }

  /** Somebody else's, and he may still act: the record has not stood unchanged for as long as it says. */
  #isOthers(): boolean {
    const { identity, timing, clock } = this.#options;
    if (this.holder === '' || this.holder === identity) return false;
    const durationMs = (this.#record.leaseDurationSeconds ?? timing.durationMs / 1000) * 1000;
    return clock.nowMs() < this.#observedMs + durationMs;
  }

  #transitions(): number {
    return this.#resourceVersion === undefined ? 0 : (this.#record.leaseTransitions ?? 0) + 1;
  }

  #hold(until: Deadline): void {
    const { clock, onChange } = this.#options;
    this.#until = until;
    this.#cancelExpiry();
    const leftMs = until.monotonicMs - clock.nowMs();
    // So slow an answer is no renewal: the next attempt may be.
    if (leftMs <= 0) {
      this.#lose();
      return;
    }
    this.#cancelExpiry = clock.after(leftMs, () => this.#lose());
    if (this.#leads) return;
    this.#leads = true;
    onChange(true);
  }

  #lose(): void {
    this.#cancelExpiry();
    if (!this.#leads) return;
    this.#leads = false;
    this.#options.onChange(false);
  }

  #deadline(): Deadline {
    const { clock, timing } = this.#options;
    return {
      monotonicMs: clock.nowMs() + timing.renewDeadlineMs,
      wallMs: clock.date().getTime() + timing.renewDeadlineMs,
    };
  }

  /** A MicroTime of the API. */
  #now(): string {
    return this.#options.clock.date().toISOString().replace('Z', '000Z');
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.isConflict;
}

function troubleOf(error: unknown): Trouble {
  return error instanceof KubeError
    ? { code: error.code, message: error.message }
    : { code: 'INTERNAL', message: String(error) };
}
