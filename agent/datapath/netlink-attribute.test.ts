import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  attribute,
  attributes,
  findAttribute,
  hostU32,
  nested,
  netU32,
  netU64,
  text,
  textOf,
} from './netlink-attribute.ts';

const hex = (octets: Buffer) => octets.toString('hex');

test('an attribute tells its length without the padding, and is padded to four octets', () => {
  assert.equal(hex(text(1, 'gate')), '09000100' + '6761746500000000');
  assert.equal(hex(attribute(5, Buffer.from('0035', 'hex'))), '06000500' + '00350000');
});

test('a nested attribute carries the flag, and the attributes inside', () => {
  assert.equal(hex(nested(4, netU32(1, 3), netU32(2, -301))), '14000480' + '0800010000000003' + '08000200fffffed3');
});

test('numbers of rtnetlink are in the byte order of the machine, those of nf_tables in that of the network', () => {
  assert.equal(hex(hostU32(15, 153)), '08000f0099000000');
  assert.equal(hex(netU32(3, 153)), '0800030000000099');
  assert.equal(hex(netU64(4, 1500)), '0c00040000000000000005dc');
});

test('attributes are found again, whatever their flags', () => {
  const message = Buffer.concat([Buffer.alloc(4), text(1, 'localdns'), nested(3, netU32(1, 7)), netU32(2, 9)]);
  assert.deepEqual(
    [...attributes(message, 4)].map(([type, value]) => [type, hex(value)]),
    [
      [1, '6c6f63616c646e7300'],
      [3, '0800010000000007'],
      [2, '00000009'],
    ],
  );
  assert.equal(textOf(findAttribute(message, 1, 4) ?? Buffer.alloc(0)), 'localdns');
  assert.equal(findAttribute(message, 4, 4), undefined);
});

for (const [what, octets] of [
  ['a length below that of its header', '0300010000000000'],
  ['a length beyond the message', '0900010000000000'],
  ['half a header', '080001'],
] as const) {
  test(`${what} ends the list`, () => {
    const message = Buffer.from(`0800070000000001${octets}`, 'hex');
    assert.deepEqual(
      [...attributes(message)].map(([type]) => type),
      [7],
    );
  });
}
