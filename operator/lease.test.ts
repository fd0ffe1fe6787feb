import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FakeClock } from '../kube/clock.fake.ts';
import { ApiError, TimeoutError, UnreachableError } from '../kube/errors.ts';
import type { KubeObject } from '../kube/resource.ts';
import { defaultLeaseTiming, LeaderElection } from './lease.ts';

interface Lease extends KubeObject {
  spec: Record<string, unknown>;
}

let clock: SkewedClock;
let api: FakeLeases;
let told: string[];

beforeEach(() => {
  clock = new SkewedClock();
  clock.randomValue = 0;
  api = new FakeLeases();
  told = [];
});

test('the first to come makes the Lease and leads, and renews it every two seconds', async () => {
  const a = await contender('a');
  assert.equal(a.isHeld(), true);
  assert.deepEqual(api.lease?.spec, {
    holderIdentity: 'a',
    leaseDurationSeconds: 15,
    acquireTime: '2026-01-01T00:00:00.000000Z',
    renewTime: '2026-01-01T00:00:00.000000Z',
    leaseTransitions: 0,
  });
  await pass(2_000);
  assert.equal(api.lease?.spec.renewTime, '2026-01-01T00:00:02.000000Z');
  assert.equal(api.lease?.spec.acquireTime, '2026-01-01T00:00:00.000000Z');
  await pass(60_000);
  assert.equal(a.isHeld(), true);
  assert.deepEqual(told, ['a leads']);
});

test('a renewal is one request, and a look of a candidate is one', async () => {
  await contender('a');
  await contender('b');
  const before = api.requests;
  await pass(60_000);
  assert.equal(api.requests - before, 30 + 60);
});

test('a candidate does not act while another renews', async () => {
  await contender('a');
  const b = await contender('b');
  await pass(120_000);
  assert.deepEqual([b.isHeld(), b.holder, told], [false, 'a', ['a leads']]);
});

test('a leader that dies is followed when its record has stood unchanged for its duration, and no sooner', async () => {
  const a = await contender('a');
  const b = await contender('b');
  await pass(4_000);
  await vanish(a);
  await pass(14_999);
  assert.equal(b.isHeld(), false);
  await pass(1_001);
  assert.equal(b.isHeld(), true);
  assert.equal(api.lease?.spec.holderIdentity, 'b');
  assert.equal(api.lease?.spec.leaseTransitions, 1);
});

test('whenever a leader is killed, another acts 13 to 17 seconds later', async () => {
  for (let afterRenewalMs = 0; afterRenewalMs < 2_000; afterRenewalMs += 250) {
    for (clock.randomValue of [0, 0.99]) {
      api = new FakeLeases();
      const a = await contender('a');
      await pass(afterRenewalMs % 700);
      const b = await contender('b');
      await pass(20_000 + afterRenewalMs - (afterRenewalMs % 700));
      await vanish(a);
      let afterMs = 0;
      for (; !b.isHeld(); afterMs += 250) await pass(250);
      assert.ok(afterMs >= 13_000 && afterMs <= 17_000, `${afterMs} ms`);
      await vanish(b);
    }
  }
});

test('what the record says of time is not believed: only what changes before our eyes counts', async () => {
  for (const renewTime of ['1999-01-01T00:00:00.000000Z', '2099-01-01T00:00:00.000000Z']) {
    api = new FakeLeases();
    api.write({ holderIdentity: 'other', leaseDurationSeconds: 15, renewTime, leaseTransitions: 4 });
    const b = await contender('b');
    await pass(14_999);
    assert.equal(b.isHeld(), false, renewTime);
    await pass(1_001);
    assert.equal(b.isHeld(), true, renewTime);
    await vanish(b);
  }
});

test('a holder that asks for longer is given longer', async () => {
  api.write({ holderIdentity: 'other', leaseDurationSeconds: 60, leaseTransitions: 0 });
  const b = await contender('b');
  await pass(59_000);
  assert.equal(b.isHeld(), false);
  await pass(2_000);
  assert.equal(b.isHeld(), true);
});

test('of two candidates that see the same free Lease one gets it, whoever writes second', async () => {
  api.write({ leaseDurationSeconds: 1, leaseTransitions: 3 });
  const both = await Promise.all(['a', 'b'].map((identity) => contender(identity)));
  assert.equal(both.filter((one) => one.isHeld()).length, 1);
  assert.equal(told.length, 1);
  assert.deepEqual(api.conflicts, 1);
  await pass(60_000);
  assert.equal(told.length, 1);
});

test('a Lease that is given back is taken within a second', async () => {
  const a = await contender('a');
  const b = await contender('b');
  await pass(10_000);
  const stopped = a.stop({ release: true });
  await pass(0);
  await stopped;
  assert.equal(api.lease?.spec.holderIdentity, undefined);
  await pass(1_000);
  assert.equal(b.isHeld(), true);
  assert.deepEqual(told, ['a leads', 'a stops', 'b leads']);
});

test('whoever is the last takes the Lease along, and nobody who comes later waits for it', async () => {
  const a = await contender('a');
  await pass(10_000);
  const stopped = a.stop({ release: true, isLast: true });
  await pass(0);
  await stopped;
  assert.equal(api.lease, undefined);
  const b = await contender('b');
  assert.equal(b.isHeld(), true);
});

test('the last one takes no Lease along that is not his', async () => {
  const a = await contender('a');
  const b = await contender('b');
  for (const release of [true, false]) {
    const stopped = (release ? b : a).stop({ release, isLast: true });
    await pass(0);
    await stopped;
    assert.equal(api.lease?.spec.holderIdentity, 'a');
  }
});

test('a Lease that is not given back runs out by itself', async () => {
  const a = await contender('a');
  const b = await contender('b');
  const stopped = a.stop({ release: false });
  await pass(0);
  await stopped;
  assert.equal(api.lease?.spec.holderIdentity, 'a');
  await pass(14_000);
  assert.equal(b.isHeld(), false);
  await pass(2_000);
  assert.equal(b.isHeld(), true);
});

test('without an API server a leader stops acting ten seconds after its last renewal, and leads again when it is back', async () => {
  const a = await contender('a');
  await pass(1_000);
  api.failure = new UnreachableError('gone');
  await pass(8_999);
  assert.equal(a.isHeld(), true);
  await pass(1);
  assert.equal(a.isHeld(), false);
  assert.deepEqual(told, ['a leads', 'a: KUBE_UNREACHABLE', 'a stops']);
  await pass(60_000);
  api.failure = undefined;
  await pass(2_000);
  assert.equal(a.isHeld(), true);
  assert.deepEqual(told.slice(3), ['a leads', 'a: well']);
  assert.equal(api.lease?.spec.leaseTransitions, 0, 'nobody else had it');
});

test('a renewal counts from when it was sent: an answer that took too long is none', async () => {
  const a = await contender('a');
  const answer = api.holdNext();
  await pass(9_000);
  // It was sent at 2 s.
  answer();
  await pass(0);
  assert.equal(a.isHeld(), true);
  const late = api.holdNext();
  await pass(2_000);
  await pass(1_500);
  assert.equal(a.isHeld(), false, '12 s after the one sent at 2 s');
  await pass(9_000);
  late();
  await pass(0);
  assert.deepEqual([a.isHeld(), told], [false, ['a leads', 'a stops']]);
});

test('one answer that is lost costs nothing: the leader looks, finds itself, and renews', async () => {
  const a = await contender('a');
  api.loseNext(5_000);
  // Sent at 2 s, given up at 7 s: what it has taken of the time is not waited for once more.
  await pass(7_500);
  assert.equal(api.lease?.spec.renewTime, '2026-01-01T00:00:07.100000Z');
  await pass(30_000);
  assert.deepEqual([a.isHeld(), told], [true, ['a leads', 'a: KUBE_TIMEOUT', 'a: well']]);
});

test('a frozen leader may not act from its first moment on, before any timer has run', async () => {
  const a = await contender('a');
  clock.skipMs = 10_000;
  assert.equal(a.isHeld(), false);
  clock.skipWallMs = -10_000;
  assert.equal(a.isHeld(), false, 'nor does a wall clock that was set back help it');
});

test('neither may one whose machine was suspended, where the monotonic clock stood still', async () => {
  const a = await contender('a');
  clock.skipWallMs = 10_000;
  assert.equal(a.isHeld(), false);
});

test('a wall clock that is set back lengthens nothing', async () => {
  const a = await contender('a');
  api.failure = new UnreachableError('gone');
  clock.skipWallMs = -3_600_000;
  await pass(10_000);
  assert.equal(a.isHeld(), false);
});

test('a leader that was taken over finds out at its next renewal, and stays a candidate', async () => {
  const a = await contender('a');
  api.write({ holderIdentity: 'thief', leaseDurationSeconds: 15, leaseTransitions: 1 });
  await pass(2_100);
  assert.equal(a.isHeld(), false);
  assert.deepEqual(told, ['a leads', 'a stops']);
  await pass(30_000);
  assert.equal(api.lease?.spec.holderIdentity, 'a');
  assert.equal(api.lease?.spec.leaseTransitions, 2);
});

test('somebody who edits the Lease without taking it disturbs nobody', async () => {
  const a = await contender('a');
  const b = await contender('b');
  for (let count = 0; count < 10; count++) {
    api.touch();
    await pass(3_000);
  }
  assert.deepEqual([a.isHeld(), b.isHeld(), told], [true, false, ['a leads']]);
});

test('a Lease that somebody deletes is made anew by who held it, and taken by nobody else meanwhile', async () => {
  const a = await contender('a');
  const b = await contender('b');
  await pass(1_000);
  api.remove();
  await pass(4_000);
  assert.deepEqual([a.isHeld(), b.isHeld(), api.lease?.spec.holderIdentity], [true, false, 'a']);
});

test('what goes wrong is told once', async () => {
  api.failure = new ApiError(403, 'Forbidden', 'no');
  await contender('a');
  await pass(30_000);
  assert.deepEqual(told, ['a: KUBE_API_403']);
});

async function contender(identity: string): Promise<LeaderElection> {
  const election = new LeaderElection({
    client: api,
    namespace: 'system',
    name: 'operator',
    identity,
    timing: defaultLeaseTiming,
    clock,
    onChange: (leads) => told.push(`${identity} ${leads ? 'leads' : 'stops'}`),
    onTrouble: (trouble) => told.push(`${identity}: ${trouble?.code ?? 'well'}`),
  });
  election.start();
  await pass(0);
  return election;
}

/** As a process that is killed: nothing more comes from it. */
async function vanish(election: LeaderElection): Promise<void> {
  const stopped = election.stop({ release: false });
  await pass(0);
  await stopped;
}

/** Lets time pass in steps small enough that every answer arrives in its own time. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) {
    clock.advance(Math.min(100, left));
    for (let turns = 0; turns < 3; turns++) await turn();
  }
  for (let turns = 0; turns < 6; turns++) await turn();
}

/** A clock that can leap without running a timer, as a thawed process sees it. */
class SkewedClock extends FakeClock {
  skipMs = 0;
  skipWallMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.skipMs;
  }

  override date(): Date {
    return new Date(super.date().getTime() + this.skipMs + this.skipWallMs);
  }
}

/** One Lease with the API server's rules for writing it. */
class FakeLeases {
  lease: Lease | undefined;
  failure: Error | undefined;
  requests = 0;
  conflicts = 0;
  #version = 0;
  #held: Promise<void> | undefined;

  write(spec: Record<string, unknown>): Lease {
    this.lease = { metadata: { name: 'operator', uid: 'one', resourceVersion: `${++this.#version}` }, spec };
    return structuredClone(this.lease);
  }

  remove(): void {
    this.lease = undefined;
  }

  /** A change of something else than the record. */
  touch(): void {
    if (this.lease !== undefined) this.write(this.lease.spec);
  }

  /** The next request is carried out, and answered when the returned function is called. */
  holdNext(): () => void {
    let release = (): void => {};
    this.#held = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  /** The next request is carried out, and its answer is not waited for any longer than this. */
  loseNext(timeoutMs: number): void {
    this.#held = new Promise((_resolve, reject) => {
      clock.after(2_000 + timeoutMs, () => reject(new TimeoutError('no answer')));
    });
  }

  async get<T extends KubeObject>(): Promise<T | undefined> {
    await this.#received();
    return structuredClone(this.lease) as unknown as T | undefined;
  }

  async create<T extends KubeObject>(_resource: unknown, object: T): Promise<T> {
    await this.#received();
    if (this.lease !== undefined) throw this.#conflict();
    return this.write((object as unknown as Lease).spec) as unknown as T;
  }

  async mergePatch<T extends KubeObject>(_resource: unknown, _name: string, patch: object): Promise<T> {
    await this.#received();
    const { metadata, spec } = patch as Lease;
    if (this.lease === undefined) throw new ApiError(404, 'NotFound', 'gone');
    if (metadata.resourceVersion !== this.lease.metadata.resourceVersion) throw this.#conflict();
    const merged = Object.entries({ ...this.lease.spec, ...spec }).filter(([, value]) => value !== null);
    const written = this.write(Object.fromEntries(merged));
    const held = this.#held;
    this.#held = undefined;
    await held;
    return written as unknown as T;
  }

  async delete(_resource: unknown, _name: string, { uid }: { uid?: string | undefined }): Promise<void> {
    await this.#received();
    if (uid !== this.lease?.metadata.uid) throw this.#conflict();
    this.remove();
  }

  async #received(): Promise<void> {
    this.requests += 1;
    await turn();
    if (this.failure !== undefined) throw this.failure;
  }

  #conflict(): ApiError {
    this.conflicts += 1;
    return new ApiError(409, 'Conflict', 'somebody was faster');
  }
}
