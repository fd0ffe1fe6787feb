import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WrittenFacts } from './facts.ts';
import { Sightings } from './sightings.ts';

const report = {
  ...{ appliedRevision: 'r1', isServing: true, isRefused: false, measures: true },
  ...{ health: undefined, failure: undefined },
};
const written = (more: Partial<WrittenFacts> = {}, said: Partial<WrittenFacts['report']> = {}): WrittenFacts => ({
  ...{ name: 'n', uid: 'u', ownerUid: '', profile: 'p', revision: 'r1', profileRevision: 'p-1' },
  ...{ trial: { soakSeconds: 60, probes: [], attempt: 1 }, writtenAtMs: 0, withdrawnAtMs: undefined },
  ...{ hasLeft: false, isIntact: true, ...more, report: { ...report, ...said } },
});

/** What is seen of a node that is in each of these states, at these times. */
function seen(...states: readonly [number, WrittenFacts][]) {
  const sightings = new Sightings();
  let old: WrittenFacts | undefined;
  for (const [nowMs, now] of states) {
    sightings.note('n', old, now, nowMs);
    old = now;
  }
  return sightings.get('n');
}

const since = (ms: number) => ({ sinceMs: ms, seenMs: ms, heardMs: ms, awaited: [] });
const well = { behindSinceMs: undefined, downSinceMs: undefined };

test('a change of facts is no new trial; another revision of the profile is, another attempt, and another object', () => {
  const facts = { revision: 'r2' };
  assert.deepEqual(seen([10, written()], [20, written(facts, { appliedRevision: 'r2' })]), {
    ...since(10),
    heardMs: 20,
    ...well,
  });
  for (const more of [
    { profileRevision: 'p-2' },
    { trial: { soakSeconds: 60, probes: [], attempt: 2 } },
    { trial: undefined },
    { uid: 'another' },
    { profile: 'q' },
  ])
    assert.deepEqual(seen([10, written()], [20, written(more)]), { ...since(20), ...well });
});

test('an agent is behind for as long as it does not move, however often there is something new for it', () => {
  const [second, third] = [{ revision: 'r2' }, { revision: 'r3' }];
  assert.equal(seen([10, written()], [20, written(second)], [30, written(third)])?.behindSinceMs, 20);
  const moved = written(third, { appliedRevision: 'r2' });
  assert.equal(seen([10, written()], [20, written(second)], [30, moved])?.behindSinceMs, 30);
  assert.equal(seen([20, written(second)], [30, written(second, { appliedRevision: 'r2' })])?.behindSinceMs, undefined);
});

test('a move to what nobody wrote is none, nor is one back', () => {
  const [a, b] = [written({}, { appliedRevision: 'a' }), written({}, { appliedRevision: 'b' })];
  assert.equal(seen([10, a], [20, b], [30, a], [40, b])?.behindSinceMs, 10);
  const third = { revision: 'r3' };
  const [first, second] = [written(third), written(third, { appliedRevision: 'r2' })];
  const passed = seen(
    [10, written()],
    [20, written({ revision: 'r2' })],
    [30, first],
    [40, second],
    [50, first],
    [60, second],
  );
  assert.equal(passed?.behindSinceMs, 40);
});

test('an agent is heard of when it takes up what was written, and when it measures anew', () => {
  const measured = written(
    {},
    {
      health: {
        ...{ revision: 'r1', soakSeconds: 0, queries: 0 },
        ...{ servFailPermille: 0, p99Micros: 0, measuredAt: '' },
      },
    },
  );
  assert.equal(seen([10, written()], [20, measured])?.heardMs, 10);
  assert.equal(seen([10, written()], [20, measured], [30, written()])?.heardMs, 30);
  assert.equal(seen([10, written({}, { appliedRevision: 'r0' })], [20, written()])?.heardMs, 20);
});

test('it does not serve since that was seen first, whatever the node makes of the time', () => {
  const down = written({}, { isServing: false });
  assert.equal(seen([10, written()], [20, down], [30, down])?.downSinceMs, 20);
  assert.equal(seen([10, written()], [20, down], [30, written()], [40, down])?.downSinceMs, 40);
  assert.equal(seen([10, down], [20, written({ profileRevision: 'p-2' }, { isServing: false })])?.downSinceMs, 20);
});

test('what an operator finds at its start is new to it, unless it is old by any clock', () => {
  const hour = 3_600_000;
  const fresh = { ...since(hour), awaited: ['r2'], behindSinceMs: hour, downSinceMs: undefined };
  const found = (writtenAtMs: number) => seen([hour, written({ writtenAtMs, revision: 'r2' })]);
  assert.deepEqual(found(hour - 130_000), { ...fresh, sinceMs: hour });
  assert.deepEqual(found(hour + 130_000), { ...fresh, sinceMs: hour });
  const old = { sinceMs: 1_000, heardMs: 1_000, behindSinceMs: 1_000 };
  assert.deepEqual(found(1_000), { ...fresh, ...old });
});

test('what nobody has touched for long needs nobody to listen', () => {
  const hour = 3_600_000;
  const found = (touchedAtMs?: number) => seen([hour, written({ writtenAtMs: 1_000, touchedAtMs })])?.seenMs;
  assert.deepEqual([found(), found(hour - 600_000), found(hour - 600_001)], [hour, hour, hour - 600_001]);
  // What is written under our eyes is new.
  const next = written({ profileRevision: 'p-2', writtenAtMs: 1_000, touchedAtMs: 1_000 });
  assert.equal(seen([hour, written()], [hour + 1, next])?.seenMs, hour + 1);
});

test('an operator that starts in the middle of a blip takes it for one', () => {
  const hour = 3_600_000;
  const found = (changedMs?: number) =>
    seen([hour, written({ writtenAtMs: 1_000 }, { isServing: false, ...(changedMs !== undefined && { changedMs }) })]);
  assert.deepEqual(found(), { ...since(1_000), seenMs: hour, behindSinceMs: undefined, downSinceMs: hour });
  assert.equal(found(hour - 600_000)?.downSinceMs, hour);
  assert.equal(found(hour - 600_001)?.downSinceMs, hour - 600_001);
  // That it changed then is no word about when it stops under our eyes.
  const [well, down] = [written({}, { changedMs: 0 }), written({}, { changedMs: 0, isServing: false })];
  assert.equal(seen([hour, well], [hour + 1, down])?.downSinceMs, hour + 1);
});

test('what is gone is forgotten', () => {
  const sightings = new Sightings();
  sightings.note('n', undefined, written(), 10);
  sightings.note('n', written(), undefined, 20);
  assert.equal(sightings.get('n'), undefined);
});
