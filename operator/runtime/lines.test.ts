import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Lines } from './lines.ts';

let lines: Lines;

beforeEach(() => {
  lines = new Lines();
});

/** As `1b-x`: key x in line b of rank 1. */
function put(...places: string[]): void {
  for (const place of places) {
    const [where = '', key = ''] = place.split('-');
    lines.put(key, { rank: Number(where[0]), line: where.slice(1) }, 0);
  }
}

function rest(): string {
  let keys = '';
  for (let next = lines.next(); next !== undefined; next = lines.next()) keys += next.key;
  return keys;
}

test('within a line keys keep their order, and lines take turns', () => {
  put('1a-A', '1a-B', '1a-C', '1b-x', '1b-y', '1c-1');
  assert.equal(rest(), 'Ax1ByC');
});

test('a line that comes late waits for one key of each other line at most, and what it has had does not count', () => {
  put('1a-A', '1a-B', '1a-C', '1b-x');
  assert.equal(lines.next()?.key, 'A');
  put('1c-1', '1c-2');
  assert.equal(rest(), 'xB1C2');
});

test('a lower rank comes first, whenever it came', () => {
  put('2a-A', '2a-B', '1b-x', '0c-1');
  assert.equal(lines.next()?.key, '1');
  put('0c-2', '1b-y');
  assert.equal(rest(), '2xyAB');
});

test('a key that is put again in another place waits there alone, for as long as it has waited', () => {
  lines.put('A', { rank: 2, line: 'a' }, 100);
  put('2a-B');
  lines.put('A', { rank: 1, line: 'a' }, 200);
  assert.equal(lines.size, 2);
  assert.deepEqual(lines.next(), { key: 'A', sinceMs: 100 });
  assert.equal(lines.has('A'), false);
  assert.equal(rest(), 'B');
});

test('a key that is put again in the same place keeps its turn', () => {
  put('1a-A', '1a-B', '1a-A');
  assert.equal(rest(), 'AB');
});

test('nothing is left once all is cleared', () => {
  put('1a-A');
  lines.clear();
  assert.deepEqual([lines.size, lines.next()], [0, undefined]);
});
