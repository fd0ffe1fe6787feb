import assert from 'node:assert/strict';
import { test } from 'node:test';
import { query, record, reply, u16 } from '../../test/fake/octets.ts';
import { NameNumbers } from './name-numbers.ts';
import { walkRecords } from './records.ts';
import { evenTtls } from './rrset.ts';

const numbersOf = (octets: readonly number[], ...places: number[]): number[] => {
  const names = new NameNumbers(Buffer.from(octets));
  return places.map((at) => names.of(at));
};
const [a, b, A] = [0x61, 0x62, 0x41];

test('a name has one number, whatever its case, and whether it is written in full or with a pointer', () => {
  //               0        2        4  5        7        9  10       12         14
  const octets = [1, a, 1, b, 0, 1, A, 1, b, 0, 1, a, 0xc0, 2, 0xc0, 10, 1, b, 0xc0, 2];
  const [inFull, upper, compressed, pointed, other] = numbersOf(octets, 0, 5, 10, 14, 16);
  assert.deepEqual([upper, compressed, pointed], [inFull, inFull, inFull]);
  assert.notEqual(other, inFull);
});

test('names that share their ends, or their labels in another order, are others', () => {
  const numbers = numbersOf([1, a, 1, b, 0, 1, b, 1, a, 0, 2, a, b, 0, 1, a, 0], 0, 5, 2, 7, 10, 4);
  assert.equal(new Set(numbers).size, numbers.length);
});

test('what leads round in a circle ends, and so does what leads out of the message or is no label', () => {
  numbersOf([1, a, 0xc0, 0, 0xc0, 4, 0xc0, 8, 0xc0, 6, 5, a, 0x80, 0xff], 0, 2, 4, 6, 8, 10, 12, 13);
  assert.deepEqual(numbersOf([0xff, 0xff, 0x80, 1, 63], 0, 2), [0, 0]);
});

/** Where the data of the first record begins, whose owner is the root. */
const dataAt = 12 + 1 + 4 + 11;
const pointer = (at: number): Buffer => u16(0xc000 | at);

/** As many records as there is room for, behind one that holds what their owners point to. */
function bomb(data: Buffer, owner: (number: number) => Buffer): Buffer {
  const answers = [record('', 16, 60, data)];
  const { length } = record(owner(0), 16, 60, Buffer.alloc(0));
  const count = Math.floor((65_000 - data.length) / length);
  for (let number = 0; number < count; number += 1)
    answers.push(record(owner(number), 16, 60 + (number % 2), Buffer.alloc(0)));
  return reply(query('', { type: 16 }), { answers });
}

const shortLabels = (count: number): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, at) => Buffer.of(1, at)));
const bombs: Readonly<Record<string, () => Buffer>> = {
  'one long name': () => bomb(Buffer.concat([shortLabels(125), Buffer.of(0)]), () => pointer(dataAt)),
  'a label each in front of a long name': () =>
    bomb(Buffer.concat([shortLabels(124), Buffer.of(0)]), (at) => Buffer.concat([Buffer.of(1, at), pointer(dataAt)])),
  'the rests of one name without end': () => bomb(shortLabels(8_000), (at) => pointer(dataAt + 2 * (at % 8_000))),
  'labels that overlap': () => bomb(Buffer.alloc(16_000, 63), (at) => pointer(dataAt + (at % 16_000))),
  'a chain of thousands of pointers': () =>
    bomb(Buffer.concat(Array.from({ length: 8_000 }, (_, at) => pointer(dataAt + 2 * Math.max(0, at - 1)))), (at) =>
      pointer(dataAt + 2 * (7_999 - (at % 8_000))),
    ),
};

function cheapestMs(work: (message: Buffer) => void, message: Buffer): number {
  let ms = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 20; round += 1) {
    const copy = Buffer.from(message);
    const before = process.cpuUsage();
    work(copy);
    const { user, system } = process.cpuUsage(before);
    ms = Math.min(ms, (user + system) / 1000);
  }
  return ms;
}

for (const [owners, make] of Object.entries(bombs)) {
  test(`to find the sets among thousands of records takes some times what it takes to walk them: ${owners}`, () => {
    const message = make();
    const walk = walkRecords(message, 17, 16);
    assert.ok(walk !== undefined && walk.ttlOffsets.length > 3_000);
    const walkMs = cheapestMs((copy) => walkRecords(copy, 17, 16), message);
    const evenMs = cheapestMs((copy) => evenTtls(copy, walk, 17), message);
    assert.ok(evenMs <= 30 * walkMs, `${evenMs} ms, and ${walkMs} ms to walk them`);
  });
}
