import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { FakeClock } from '../../kube/clock.fake.ts';
import { apiErrorOf } from '../../kube/errors.ts';
import { EVENTS, type KubeObject } from '../../kube/resource.ts';
import { EventRecorder, nodeSubject, profileSubject } from './events.ts';

const minuteMs = 60_000;
type Event = KubeObject & { series?: { count: number; lastObservedTime: string } } & Record<string, unknown>;

let clock: FakeClock;
/** What the API has of them. */
let stored: Map<string, Event>;
let created: Event[];
let patches: number;
let failures: unknown[];
let failing: Error | undefined;
let events: EventRecorder;

const client: ConstructorParameters<typeof EventRecorder>[0] = {
  create: async (_resource, object) => {
    if (failing !== undefined) throw failing;
    const { name } = object.metadata;
    if (stored.has(name)) throw apiErrorOf({ what: 'create', resource: EVENTS }, 409, { reason: 'AlreadyExists' });
    stored.set(name, structuredClone(object) as unknown as Event);
    created.push(object as unknown as Event);
    return object;
  },
  get: async <T>(_resource: unknown, name: string) => stored.get(name) as T | undefined,
  mergePatch: async <T>(_resource: unknown, name: string, patch: object) => {
    if (failing !== undefined) throw failing;
    const event = stored.get(name);
    if (event === undefined) throw apiErrorOf({ what: 'patch', resource: EVENTS }, 404, {});
    patches += 1;
    stored.set(name, { ...event, ...structuredClone(patch) });
    return event as T;
  },
};

beforeEach(() => {
  clock = new FakeClock();
  stored = new Map();
  created = [];
  patches = 0;
  failures = [];
  failing = undefined;
  events = newRecorder();
});

function newRecorder(): EventRecorder {
  return new EventRecorder(client, clock, 'pod-1', (error) => failures.push(error));
}

const tell = (uid = 'a', note = 'x'): Promise<void> => events.warn(nodeSubject('n', uid), 'R', note);
const lasting = (): Promise<void> => events.warn(nodeSubject('n', 'a'), 'R', 'x', { lasts: true });
const counts = (): (number | undefined)[] => [...stored.values()].map(({ series }) => series?.count);

test('an event has what events.k8s.io/v1 asks for: microseconds, an action, the namespace default', async () => {
  await events.warn(profileSubject('p', 'uid-p'), 'Invalid', 'spec.mode: bad');
  const [event] = created;
  assert.match(event?.metadata.name ?? '', /^p\.[0-9a-f]{16}$/);
  assert.equal(event?.metadata.namespace, 'default');
  assert.match(String(event?.eventTime), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  assert.deepEqual(
    [event?.type, event?.reason, event?.note, event?.reportingInstance, event?.action],
    ['Warning', 'Invalid', 'spec.mode: bad', 'pod-1', 'Reconcile'],
  );
});

test('the same words about the same object are one Event, other words or objects another', async () => {
  await tell('a', 'x');
  await tell('a', 'x');
  await tell('a', 'y');
  await tell('b', 'x');
  assert.deepEqual(counts(), [2, undefined, undefined]);
});

test('a series counts every time, and is written at the second and then every five minutes at most', async () => {
  for (let count = 0; count < 100; count++) await tell();
  assert.deepEqual([counts(), patches], [[2], 1]);
  clock.advance(5 * minuteMs);
  for (let count = 0; count < 100; count++) await tell();
  assert.deepEqual([counts(), patches], [[101], 2]);
  assert.deepEqual(stored.get(created[0]?.metadata.name ?? '')?.series, {
    count: 101,
    lastObservedTime: clock.date().toISOString().replace('Z', '000Z'),
  });
});

test('what lasts is not said each time anew, but before the Event expires', async () => {
  for (let minute = 0; minute < 29; minute++) {
    await lasting();
    clock.advance(minuteMs);
  }
  assert.deepEqual(counts(), [undefined]);
  clock.advance(minuteMs);
  await lasting();
  await lasting();
  assert.deepEqual([counts(), patches], [[2], 1]);
});

test('an operator that takes over goes on with the series', async () => {
  await tell();
  events = newRecorder();
  await tell();
  assert.deepEqual(counts(), [2]);
  events = newRecorder();
  await tell();
  assert.deepEqual([counts(), created.length, failures], [[3], 1, []]);
});

test('an Event that has expired begins anew', async () => {
  await tell();
  await tell();
  stored.clear();
  clock.advance(5 * minuteMs);
  await tell();
  assert.deepEqual(counts(), [undefined]);
  await tell();
  assert.deepEqual(counts(), [2]);
});

test('an object that changes its mind all the time is told ten times an hour at most', async () => {
  for (let count = 0; count < 50; count++) await tell('a', `${count}`);
  assert.equal(created.length, 10);
  clock.advance(60 * minuteMs);
  for (let count = 0; count < 50; count++) await tell('a', `${count + 50}`);
  assert.equal(created.length, 20);
});

test('a note that is too long for the API is cut, by bytes', async () => {
  await events.warn(nodeSubject('n', 'a'), 'R', 'ü'.repeat(2000));
  assert.ok(Buffer.byteLength(String(created[0]?.note)) <= 1024);
});

test('an event that cannot be written fails nothing but itself', async () => {
  failing = new Error('no');
  await events.warn(nodeSubject('n', 'a'), 'R', 'x');
  assert.deepEqual(failures, [failing]);
  failing = undefined;
  await events.warn(nodeSubject('n', 'a'), 'R', 'x');
  assert.equal(created.length, 1);
});

test('what was said often for one reason does not keep from people what is said for another', async () => {
  for (let count = 0; count < 50; count++) await events.warn(profileSubject('p', 'u'), 'PartiallyInvalid', `${count}`);
  await events.warn(profileSubject('p', 'u'), 'RolloutFailed', 'x');
  assert.deepEqual([created.length, created.at(-1)?.reason], [11, 'RolloutFailed']);
});

/** What is written when time goes on, at once or a little later. */
async function after(ms: number): Promise<void> {
  clock.advance(ms);
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

test('one that could not be written is tried again, for five minutes and less and less often', async () => {
  failing = new Error('no');
  await tell();
  for (const ms of [10_000, 20_000, 40_000, 80_000]) await after(ms);
  assert.equal(failures.length, 5);
  failing = undefined;
  await after(159_000);
  assert.equal(created.length, 0);
  await after(1_000);
  assert.deepEqual([created.length, clock.pendingMs()], [1, []]);
});

test('nor is it tried for ever, nor beside the next time that it is said, nor once the operator ends', async () => {
  failing = new Error('no');
  await tell('a');
  for (let minute = 0; minute < 60; minute++) await after(minuteMs);
  assert.deepEqual([failures.length, clock.pendingMs()], [6, []]);
  await tell('b');
  failing = undefined;
  await tell('b');
  await after(minuteMs);
  assert.deepEqual([counts(), clock.pendingMs()], [[undefined], []]);
  failing = new Error('no');
  await tell('c');
  events.stop();
  assert.deepEqual(clock.pendingMs(), []);
  await tell('d');
  assert.deepEqual(clock.pendingMs(), []);
});
