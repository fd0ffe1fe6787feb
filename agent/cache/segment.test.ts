import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cells } from './cells.ts';
import { Segment } from './segment.ts';

function segmentOf(count: number): { segment: Segment; firsts: number[] } {
  const cells = new Cells(count);
  const segment = new Segment(cells, 0);
  const firsts = Array.from({ length: count }, () => cells.take(1));
  for (const first of firsts) segment.add(first, 1);
  return { segment, firsts };
}

test('what was used last comes first', () => {
  const { segment, firsts } = segmentOf(4);
  const [a, b, c, d] = firsts as [number, number, number, number];
  assert.deepEqual([...segment], [d, c, b, a]);
  segment.touch(b, 1);
  segment.touch(b, 1);
  assert.deepEqual([...segment], [b, d, c, a]);
  segment.remove(a, 1);
  segment.remove(b, 1);
  assert.deepEqual([...segment], [d, c]);
  assert.deepEqual([segment.newest, segment.oldest, segment.newer(c), segment.size, segment.cells], [d, c, d, 2, 2]);
  segment.add(b, 3);
  assert.equal(segment.cells, 5);
});

test('who goes through it comes by all that stay where they were, though what comes next is used or removed', () => {
  const { segment, firsts } = segmentOf(6);
  const [a, b, c, d, e, f] = firsts as [number, number, number, number, number, number];
  const seen: number[] = [];
  for (const first of segment) {
    seen.push(first);
    if (first === f) segment.touch(e, 1);
    if (first === d) {
      segment.remove(c, 1);
      segment.touch(d, 1);
    }
    if (first === b) segment.remove(a, 1);
  }
  assert.deepEqual(seen, [f, d, b]);
});
