import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../test/fuzz/random.ts';
import { Cells, cellLength, cellsOf, headLength } from './cells.ts';

const inHead = cellLength - headLength;
const inOther = cellLength - 4;
const lengths = [1, inHead - 1, inHead, inHead + 1, inHead + inOther, inHead + inOther + 1, 1_500, 65_535];

function octets(length: number, from: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => (from + at) % 251));
}

test('a message takes the cells that it needs, and no more', () => {
  assert.deepEqual(
    lengths.slice(0, 6).map((length) => cellsOf(length)),
    [1, 1, 1, 2, 2, 3],
  );
  assert.equal(cellsOf(65_535), 1 + Math.ceil((65_535 - inHead) / inOther));
});

test('messages of any length come out as they went in, whatever cells they were given and whoever had them before', () => {
  const random = new Random(1);
  const cells = new Cells(2_000);
  const kept = new Map<number, Buffer>();
  for (let round = 0; round < 400; round += 1) {
    const message = octets(lengths[random.below(lengths.length)] as number, round);
    while (cells.count - cells.taken < cellsOf(message.length)) {
      const [first] = kept.keys();
      cells.release(first as number);
      kept.delete(first as number);
    }
    const first = cells.take(cellsOf(message.length));
    assert.ok(first !== 0 && !kept.has(first));
    cells.write(first, message, message.length);
    kept.set(first, message);
  }
  for (const [first, message] of kept) {
    const [out, copies] = [Buffer.alloc(3 + message.length), new Cells(cellsOf(message.length))];
    cells.read(first, out, 3, message.length);
    assert.deepEqual(out.subarray(3), message);
    const copy = copies.take(cellsOf(message.length));
    copies.copy(copy, cells, first);
    copies.read(copy, out, 3, message.length);
    assert.deepEqual(out.subarray(3), message);
  }
  assert.equal(
    cells.taken,
    [...kept.values()].reduce((sum, { length }) => sum + cellsOf(length), 0),
  );
  for (const first of kept.keys()) cells.release(first);
  assert.equal(cells.taken, 0);
});
