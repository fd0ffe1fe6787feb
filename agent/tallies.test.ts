import { deepEqual, equal, notEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { Tallies, type TallyNotice } from './tallies.ts';

test('a tally is announced once, shared with whoever was told, and survives a new configuration', () => {
  const notices: TallyNotice[] = [];
  const tallies = new Tallies((notice) => notices.push(notice));
  const counts = tallies.open('zone', { listener: 'cluster', zone: '.' }, 3);
  counts[1] = 7;
  equal(tallies.open('zone', { listener: 'cluster', zone: '.' }, 3), counts);
  deepEqual(
    notices.map(({ kind, labels }) => [kind, labels]),
    [['zone', { listener: 'cluster', zone: '.' }]],
  );
  deepEqual([...new Float64Array(notices[0]?.buffer ?? new SharedArrayBuffer(0))], [0, 7, 0]);
});

test('tallies with other labels or of another kind are others', () => {
  const tallies = new Tallies(() => {});
  const counts = tallies.open('zone', { zone: 'a' }, 1);
  notEqual(tallies.open('zone', { zone: 'b' }, 1), counts);
  notEqual(tallies.open('upstream', { zone: 'a' }, 1), counts);
});
