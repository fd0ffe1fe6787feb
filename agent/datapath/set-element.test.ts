import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressKey, backend, concatenation, numberKey, portKey } from './set-element.ts';

for (const [address, octets] of [
  ['169.254.10.11', 'a9fe0a0b'],
  ['fdcd:6c64:6e73::10', 'fdcd6c646e7300000000000000000010'],
  ['::', '00000000000000000000000000000000'],
  ['::1', '00000000000000000000000000000001'],
  ['fe80::', 'fe800000000000000000000000000000'],
  ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
  ['1:2::7:8', '00010002000000000000000000070008'],
  ['::ffff:192.0.2.1', '00000000000000000000ffffc0000201'],
  ['64:ff9b::192.0.2.255', '0064ff9b0000000000000000c00002ff'],
] as const) {
  test(`the key of ${address}`, () => assert.equal(addressKey(address).toString('hex'), octets));
}

test('a mark, and what numgen gives, is a number in the byte order of the machine', () => {
  assert.equal(numberKey(0x12345678).toString('hex'), '78563412');
  assert.equal(numberKey(0xffffffff).toString('hex'), 'ffffffff');
});

test('the parts of a concatenation are filled up to four octets, as nft writes them', () => {
  assert.equal(backend('10.244.1.6', 5353).toString('hex'), '0af40106' + '14e90000');
  assert.equal(backend('fd00::a', 53).toString('hex'), 'fd00000000000000000000000000000a' + '00350000');
  const flow = concatenation(addressKey('10.0.0.1'), portKey(40_000), addressKey('10.0.0.2'));
  assert.equal(flow.toString('hex'), '0a000001' + '9c400000' + '0a000002');
});
