import assert, { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeHealth } from '../../api/v1alpha1/node.ts';
import { FakeClock, settle } from '../../test/fake/clock.ts';
import { figuresOf } from '../figures.ts';
import { bump, bumpWait, firstRcodeCount, listenerCounts } from '../server/plan.ts';
import { type Probed, Trial } from './trial.ts';

const startedAtMs = Date.UTC(2026, 0, 1);

/** A listener that the test answers queries of, and a trial that watches it. */
function scene(
  probe: (names: readonly string[]) => Promise<Probed[]> = async (names) => names.map((name) => ({ name, ok: true })),
) {
  const clock = new FakeClock(5_000_000);
  const counts = new Float64Array(listenerCounts);
  const told: NodeHealth[] = [];
  const trial = new Trial({
    clock,
    wallMs: () => startedAtMs + clock.nowMs() - 5_000_000,
    figures: () => figuresOf([counts]),
    probe,
    onHealth: (health) => told.push(health),
  });
  /** So many answers a second for so long, each of a client that waited. */
  const serve = async (seconds: number, perSecond: number, waitMs: number, servFails = 0) => {
    for (let second = 0; second < seconds; second += 1) {
      for (let one = 0; one < perSecond; one += 1) {
        bump(counts, firstRcodeCount + (one < servFails ? 2 : 0));
        bumpWait(counts, waitMs);
      }
      await clock.advance(1_000);
    }
  };
  return { clock, counts, trial, told, serve };
}

const terms = (soakSeconds: number, ...probes: string[]) => ({ soakSeconds, probes });
const near = (micros: number | undefined, ms: number) =>
  ok(micros !== undefined && micros > ms * 800 && micros < ms * 1250, `${micros}`);

test('a revision is measured once, at the end of its soak, beside as long a time before it came into force', async () => {
  const { trial, told, serve } = scene();
  trial.inForce('v1-a', undefined, undefined);
  await serve(100, 10, 900);
  await serve(30, 10, 5);
  trial.inForce('v1-b', terms(30, 'kubernetes.default.svc.cluster.local'), undefined);
  await serve(29, 20, 50, 2);
  assert.deepEqual([...told], []);
  trial.inForce('v1-b', terms(30, 'kubernetes.default.svc.cluster.local'), undefined);
  await serve(1, 20, 50, 2);
  const [health] = told;
  assert(health !== undefined);
  const { p99Micros, before, ...rest } = health;
  deepEqual(rest, {
    revision: 'v1-b',
    soakSeconds: 30,
    queries: 600,
    servFailPermille: 100,
    waited: 600,
    probes: [{ name: 'kubernetes.default.svc.cluster.local', ok: true }],
    measuredAt: '2026-01-01T00:02:40Z',
  });
  near(p99Micros, 50);
  near(before?.p99Micros, 5);
  deepEqual([before?.queries, before?.servFailPermille, before?.waited], [300, 0, 300]);
  await serve(100, 1, 1);
  trial.inForce('v1-b', terms(30), undefined);
  await serve(100, 1, 1);
  equal(told.length, 1);
});

test('nothing is said of a revision that is replaced before the end, and the next one has its whole time', async () => {
  const { trial, told, serve } = scene();
  trial.inForce('v1-a', terms(60), undefined);
  await serve(59, 1, 1);
  trial.inForce('v1-b', terms(60), undefined);
  await serve(59, 2, 1);
  deepEqual(told, []);
  await serve(1, 2, 1);
  deepEqual(
    told.map(({ revision, queries }) => [revision, queries]),
    [['v1-b', 120]],
  );
});

test('an agent that has just started has no past, one that was started again no part of a soak', async () => {
  const { trial, told, serve } = scene();
  trial.inForce('v1-a', undefined, undefined);
  await serve(59, 1, 1);
  trial.inForce('v1-b', terms(60), undefined);
  await serve(60, 1, 1);
  deepEqual(
    told.map(({ before }) => before),
    [undefined],
  );
  const next = scene();
  next.trial.inForce('v1-b', terms(60), told[0]);
  await next.serve(200, 1, 1);
  deepEqual(next.told, [], 'what the agent before has measured');
});

test('without terms nothing is measured; they may come later, or change on the way', async () => {
  const { trial, told, serve, clock } = scene();
  trial.inForce('v1-a', undefined, undefined);
  await serve(500, 1, 1);
  trial.inForce('v1-a', terms(100), undefined);
  await serve(50, 1, 1);
  trial.inForce('v1-a', undefined, undefined);
  await serve(100, 1, 1);
  deepEqual(told, []);
  trial.inForce('v1-a', terms(100), undefined);
  await serve(20, 1, 1);
  trial.inForce('v1-a', terms(10), undefined);
  await clock.advance(0);
  deepEqual(
    told.map(({ soakSeconds, queries }) => [soakSeconds, queries]),
    [[20, 20]],
  );
});

test('what a node that is not served any more did is no past of what comes next', async () => {
  const { trial, told, serve } = scene();
  trial.inForce('v1-a', undefined, undefined);
  await serve(100, 1, 1);
  trial.stop();
  trial.inForce('v1-a', terms(10), undefined);
  await serve(10, 1, 1);
  deepEqual(
    told.map(({ before }) => before),
    [undefined],
  );
});

test('what is answered while probes run counts for nobody', async () => {
  let clock: FakeClock | undefined;
  let serve: ReturnType<typeof scene>['serve'] = async () => {};
  const slow = async (names: readonly string[]) => {
    await new Promise<void>((resolve) => void clock?.after(3_000, resolve));
    return names.map((name) => ({ name, ok: false, message: 'the answer is SERVFAIL' }));
  };
  const all = scene(slow);
  ({ clock, serve } = all);
  all.trial.inForce('v1-a', terms(10, 'a.example'), undefined);
  await serve(10, 1, 1);
  await serve(1, 500, 1, 500);
  // Replaced while its probes run: nothing is said of it, and its probes are nobody's all the same.
  all.trial.inForce('v1-b', terms(20), undefined);
  await serve(2, 500, 1, 500);
  await serve(18, 7, 1);
  deepEqual(
    all.told.map(({ revision, queries, servFailPermille }) => [revision, queries, servFailPermille]),
    [['v1-b', 18 * 7, 0]],
  );
});

test('probes that fail are told, and come after the end of the soak', async () => {
  const { trial, told, serve, counts } = scene(async (names) => {
    bump(counts, firstRcodeCount + 2, names.length);
    return names.map((name) => ({ name, ok: false, message: 'the answer is SERVFAIL' }));
  });
  trial.inForce('v1-a', terms(10, 'a.example', 'b.example'), undefined);
  await serve(10, 1, 1);
  await settle();
  const [{ queries, servFailPermille, probes } = { queries: -1 }] = told;
  deepEqual([queries, servFailPermille], [10, 0]);
  deepEqual(probes, [
    { name: 'a.example', ok: false, message: 'the answer is SERVFAIL' },
    { name: 'b.example', ok: false, message: 'the answer is SERVFAIL' },
  ]);
  trial.inForce('v1-b', terms(5), undefined);
  await serve(5, 1, 1);
  deepEqual(
    told.map(({ before }) => before?.servFailPermille),
    [undefined, 0],
  );
});

test('a revision that is tried anew is measured anew, beside the same time before it came into force', async () => {
  const { trial, told, serve } = scene();
  trial.inForce('v1-a', undefined, undefined);
  await serve(30, 10, 5);
  const attempt = (number: number) => trial.inForce('v1-b', { ...terms(10), attempt: number }, undefined);
  attempt(1);
  await serve(10, 10, 5, 10);
  attempt(1);
  await serve(10, 10, 5);
  attempt(2);
  await serve(9, 10, 5);
  equal(told.length, 1);
  await serve(1, 10, 5);
  deepEqual(
    told.map((health) => [health.attempt, health.servFailPermille, health.before?.servFailPermille]),
    [
      [1, 1000, 0],
      [2, 0, 0],
    ],
  );
  await serve(30, 1, 1);
  equal(told.length, 2);
});

const ofProfile = (attempt: number, profileRevision: string, ...probes: string[]) => ({
  ...terms(10, ...probes),
  ...{ attempt, profileRevision },
});

test('facts that change all the time begin no trial anew, and what is measured is told of what is in force', async () => {
  const { trial, told, serve } = scene();
  trial.inForce('v1-a', undefined, undefined);
  await serve(30, 10, 5);
  for (const second of Array(10).keys()) {
    trial.inForce(`v1-${second}`, ofProfile(1, 'p-1'), undefined);
    await serve(1, 7, 5);
  }
  const queriesOf = () => told.map(({ revision, queries, before }) => [revision, queries, before?.queries]);
  deepEqual(queriesOf(), [['v1-9', 70, 100]]);
  trial.inForce('v1-10', ofProfile(1, 'p-1'), undefined);
  deepEqual(queriesOf(), [
    ['v1-9', 70, 100],
    ['v1-10', 70, 100],
  ]);
  // Another revision of the profile is another trial, though it may be the first of both.
  trial.inForce('v1-11', ofProfile(1, 'p-2'), undefined);
  equal(told.length, 2);
  await serve(10, 7, 5);
  equal(told.length, 3);
});

test('what an agent before has measured is told again where facts have changed, meanwhile or later', async () => {
  const before = scene();
  before.trial.inForce('v1-a', ofProfile(1, 'p-1'), undefined);
  await before.serve(20, 10, 5);
  const [health] = before.told;
  equal(health?.profileRevision, 'p-1');
  const { trial, told, serve } = scene();
  const revisions = () => told.map(({ revision, queries }) => [revision, queries]);
  trial.inForce('v1-a', ofProfile(1, 'p-1'), health);
  await serve(20, 10, 5);
  deepEqual(revisions(), []);
  trial.inForce('v1-b', ofProfile(1, 'p-1'), undefined);
  deepEqual(revisions(), [['v1-b', health?.queries]]);
  await serve(20, 10, 5);
  equal(told.length, 1);
  const later = scene();
  later.trial.inForce('v1-c', ofProfile(1, 'p-1'), health);
  await later.serve(20, 10, 5);
  deepEqual(later.told, [{ ...health, revision: 'v1-c' }]);
});
