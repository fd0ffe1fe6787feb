import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contains, formatNetwork, kubeAddress, kubeNetwork, networkOf, widened } from './network.ts';

for (const [text, meant] of [
  ['10.1.2.4', '10.1.2.4'],
  ['010.001.2.00004', '10.1.2.4'],
  ['0.0.00.000', '0.0.0.0'],
  ['2001:0DB8::1', '2001:db8::1'],
  ['2001:0db8:0:0:00000:0:0:1', '2001:db8::1'],
  ['::ffff:10.1.2.4', '10.1.2.4'],
  ['::FFFF:0a01:204', '10.1.2.4'],
  ['::ffff:010.1.2.4', '10.1.2.4'],
  ['256.1.2.3', undefined],
  ['0x10.1.2.3', undefined],
  ['10.1.2', undefined],
  ['fe80::1%eth0', undefined],
  ['', undefined],
] as const) {
  test(`the API server means ${meant} by the address ${JSON.stringify(text)}`, () =>
    assert.equal(kubeAddress(text), meant));
}

for (const [text, meant] of [
  ['10.0.0.0/8', '10.0.0.0/8'],
  ['010.1.0.0/016', '10.1.0.0/16'],
  ['10.1.2.3/24', '10.1.2.0/24'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['192.0.2.255/32', '192.0.2.255/32'],
  ['FD00:10:244::7/64', 'fd00:10:244::/64'],
  ['::/0', '::/0'],
  ['::192.0.2.1/128', '::192.0.2.1/128'],
  ['64:ff9b::192.0.2.0/120', '64:ff9b::c000:200/120'],
  ['1:2:3:4:5:6:7:8/128', '1:2:3:4:5:6:7:8/128'],
  ['::ffff:10.0.0.0/104', '10.0.0.0/8'],
  ['::ffff:10.0.0.0/95', undefined],
  ['10.0.0.0/33', undefined],
  ['2001:db8::/129', undefined],
  ['10.0.0.0', undefined],
  ['10.0.0.0/', undefined],
  ['10.0.0.0/-1', undefined],
  ['x/8', undefined],
  ['/8', undefined],
] as const) {
  test(`the API server means ${meant} by the network ${JSON.stringify(text)}`, () => {
    const network = kubeNetwork(text);
    assert.equal(network && formatNetwork(network), meant);
  });
}

test('a network contains what is as narrow as itself and begins as it does', () => {
  const isIn = (inner: string, outer: string): boolean | undefined => {
    const [a, b] = [kubeNetwork(inner), kubeNetwork(outer)];
    return a && b && contains(b, a);
  };
  assert.equal(isIn('10.255.0.1/32', '10.0.0.0/8'), true);
  assert.equal(isIn('11.0.0.0/32', '10.0.0.0/8'), false);
  assert.equal(isIn('10.0.0.0/8', '10.0.0.0/8'), true);
  assert.equal(isIn('10.0.0.0/7', '10.0.0.0/8'), false);
  assert.equal(isIn('::/128', '0.0.0.0/0'), false);
  assert.equal(isIn('192.0.2.1/32', '::/0'), false);
  assert.equal(isIn('fd00::1/128', 'fd00::/64'), true);
  assert.equal(contains(networkOf('0.0.0.0', 0), networkOf('255.255.255.255', 32)), true);
});

test('a network is widened to so many bits, and never narrowed', () => {
  const wide = (text: string, most: number): string =>
    formatNetwork(widened(kubeNetwork(text) ?? networkOf('::', 0), most));
  assert.equal(wide('10.244.7.0/24', 16), '10.244.0.0/16');
  assert.equal(wide('10.0.0.0/9', 16), '10.0.0.0/9');
  assert.equal(wide('fd00:10:244:1::/64', 48), 'fd00:10:244::/48');
});
