import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { FakeClock } from '../../kube/clock.fake.ts';
import type { KubeObject } from '../../kube/resource.ts';
import { EventRecorder, nodeSubject, profileSubject } from './events.ts';

const hourMs = 3_600_000;
let clock: FakeClock;
let created: (KubeObject & Record<string, unknown>)[];
let failures: unknown[];
let failing: Error | undefined;
let events: EventRecorder;

beforeEach(() => {
  clock = new FakeClock();
  created = [];
  failures = [];
  failing = undefined;
  const client = {
    create: async <T extends KubeObject>(_resource: unknown, object: T): Promise<T> => {
      if (failing !== undefined) throw failing;
      created.push(object as unknown as KubeObject & Record<string, unknown>);
      return object;
    },
  };
  events = new EventRecorder(client, clock, 'pod-1', (error) => failures.push(error));
});

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

test('the same words about the same object are told once an hour, other words or objects at once', async () => {
  const tell = (uid: string, note: string): Promise<void> => events.warn(nodeSubject('n', uid), 'R', note);
  await tell('a', 'x');
  await tell('a', 'x');
  await tell('a', 'y');
  await tell('b', 'x');
  assert.equal(created.length, 3);
  clock.advance(hourMs);
  await tell('a', 'x');
  assert.equal(created.length, 4);
});

test('an object that changes its mind all the time is told ten times an hour at most', async () => {
  for (let count = 0; count < 50; count++) await events.warn(nodeSubject('n', 'a'), 'R', `${count}`);
  assert.equal(created.length, 10);
});

test('a note that is too long for the API is cut, by bytes', async () => {
  await events.warn(nodeSubject('n', 'a'), 'R', 'ü'.repeat(2000));
  assert.ok(Buffer.byteLength(String(created[0]?.note)) <= 1024);
});

test('an event that cannot be written fails nothing but itself', async () => {
  failing = new Error('no');
  await events.warn(nodeSubject('n', 'a'), 'R', 'x');
  assert.deepEqual(failures, [failing]);
});
