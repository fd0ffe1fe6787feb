import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOctets } from '../wire/address.ts';
import { ClientTexts } from './client-texts.ts';

test('each address is told from all others, however many there are and whoever has asked before', () => {
  const texts = new ClientTexts();
  for (let round = 0; round < 2; round += 1) {
    for (let client = 0; client < 3_000; client += 1) {
      const [high, low] = [client >> 8, client & 0xff];
      assert.equal(texts.ofIpv4(wordsOf(`10.1.${high}.${low}`)[0] as number), `10.1.${high}.${low}`);
      const address = `fd00::${(1 + high).toString(16)}:${(1 + low).toString(16)}`;
      assert.equal(texts.ofIpv6([0, 0, ...wordsOf(address)], 2), address);
    }
  }
});

test('addresses that share a place are told apart', () => {
  const texts = new ClientTexts();
  const [one, other] = ['fd00::1:0:0', 'fd00::1'];
  const [a, b, c, d] = wordsOf(other) as [number, number, number, number];
  assert.deepEqual(wordsOf(one).sort(), [a, b, d, c].sort());
  for (const [words, address] of [
    [wordsOf(one), one],
    [[a, b, c, d], other],
    [wordsOf(one), one],
  ] as const) {
    assert.equal(texts.ofIpv6(words, 0), address);
  }
});

function wordsOf(address: string): number[] {
  const octets = addressOctets(address);
  return Array.from({ length: octets.length / 4 }, (_, index) => octets.readUInt32LE(index * 4));
}
