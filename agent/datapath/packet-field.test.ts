import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressKey } from './packet-field.ts';

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
