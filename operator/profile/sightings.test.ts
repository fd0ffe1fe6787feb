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

const well = { behindSinceMs: undefined, downSinceMs: undefined };

test('a change of facts is no new trial; another revision of the profile is, another attempt, and another object', () => {
  const facts = { revision: 'r2' };
  assert.deepEqual(seen([10, written()], [20, written(facts, { appliedRevision: 'r2' })]), { sinceMs: 10, ...well });
  for (const more of [
    { profileRevision: 'p-2' },
    { trial: { soakSeconds: 60, probes: [], attempt: 2 } },
    { trial: undefined },
    { uid: 'another' },
    { profile: 'q' },
  ])
    assert.deepEqual(seen([10, written()], [20, written(more)]), { sinceMs: 20, ...well });
});

test('an agent is behind for as long as it does not move, however often there is something new for it', () => {
  const [second, third] = [{ revision: 'r2' }, { revision: 'r3' }];
  assert.equal(seen([10, written()], [20, written(second)], [30, written(third)])?.behindSinceMs, 20);
  const moved = written(third, { appliedRevision: 'r2' });
  assert.equal(seen([10, written()], [20, written(second)], [30, moved])?.behindSinceMs, 30);
  assert.equal(seen([20, written(second)], [30, written(second, { appliedRevision: 'r2' })])?.behindSinceMs, undefined);
});

test('it does not serve since that was seen first, whatever the node makes of the time', () => {
  const down = written({}, { isServing: false });
  assert.equal(seen([10, written()], [20, down], [30, down])?.downSinceMs, 20);
  assert.equal(seen([10, written()], [20, down], [30, written()], [40, down])?.downSinceMs, 40);
  assert.equal(seen([10, down], [20, written({ profileRevision: 'p-2' }, { isServing: false })])?.downSinceMs, 20);
});

test('what an operator finds at its start is new to it, unless it is old by any clock', () => {
  const hour = 3_600_000;
  const found = (writtenAtMs: number) => seen([hour, written({ writtenAtMs, revision: 'r2' })]);
  assert.deepEqual(found(hour - 130_000), { sinceMs: hour, behindSinceMs: hour, downSinceMs: undefined });
  assert.deepEqual(found(hour + 130_000), { sinceMs: hour, behindSinceMs: hour, downSinceMs: undefined });
  assert.deepEqual(found(1_000), { sinceMs: 1_000, behindSinceMs: hour, downSinceMs: undefined });
});

test('an operator that starts in the middle of a blip takes it for one', () => {
  const down = seen([3_600_000, written({ writtenAtMs: 1_000 }, { isServing: false })]);
  assert.deepEqual(down, { sinceMs: 1_000, behindSinceMs: undefined, downSinceMs: 3_600_000 });
});

test('what is gone is forgotten', () => {
  const sightings = new Sightings();
  sightings.note('n', undefined, written(), 10);
  sightings.note('n', written(), undefined, 20);
  assert.equal(sightings.get('n'), undefined);
});
