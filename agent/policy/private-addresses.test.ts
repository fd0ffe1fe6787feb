import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOctets, addressText } from '../wire/address.ts';
import { PrivateAddresses } from './private-addresses.ts';

function isPrivate(address: string, of = new PrivateAddresses(false)): boolean {
  const octets = addressOctets(address);
  return of.has(octets, 0, octets.length);
}

test('networks of one’s own, links and the machine itself are private, to the bit', () => {
  for (const [first, last, before, behind] of [
    ['10.0.0.0', '10.255.255.255', '9.255.255.255', '11.0.0.0'],
    ['172.16.0.0', '172.31.255.255', '172.15.255.255', '172.32.0.0'],
    ['192.168.0.0', '192.168.255.255', '192.167.255.255', '192.169.0.0'],
    ['100.64.0.0', '100.127.255.255', '100.63.255.255', '100.128.0.0'],
    ['169.254.0.0', '169.254.255.255', '169.253.255.255', '169.255.0.0'],
    ['127.0.0.0', '127.255.255.255', '126.255.255.255', '128.0.0.0'],
    ['0.0.0.0', '0.255.255.255', '255.255.255.255', '1.0.0.0'],
    ['fc00::', 'fdff:ffff::1', 'fbff::1', 'fe00::'],
    ['fe80::', 'febf::1', 'fe7f::1', 'ff02::1'],
    ['fec0::', 'feff::1', '2001:db8::1', 'ff00::1'],
    ['::', '::1', '2600::', '2001:4860::8888'],
  ] as const) {
    for (const address of [first, last]) assert.ok(isPrivate(address), address);
    for (const address of [before, behind]) assert.ok(!isPrivate(address), address);
  }
});

test('an IPv4 address is what it is inside of an IPv6 address, too', () => {
  for (const [form, isEmbedding] of [
    ['::ffff:IPV4', true],
    ['::IPV4', true],
    ['64:ff9b::IPV4', true],
    ['64:ff9b:1::IPV4', true],
    ['64:ff9c::IPV4', false],
    ['2001:db8::IPV4', false],
  ] as const) {
    assert.equal(isPrivate(form.replace('IPV4', '10.1.2.3')), isEmbedding, form);
    assert.ok(!isPrivate(form.replace('IPV4', '192.0.2.7')), form);
  }
  assert.ok(isPrivate('2002:c0a8:101::1'));
  assert.ok(!isPrivate('2002:c000:207::1'));
});

test('loopback may be allowed, in every form, and nothing else with it', () => {
  const lenient = new PrivateAddresses(true);
  for (const address of ['127.0.0.1', '0.0.0.0', '::1', '::', '::ffff:127.0.0.1']) {
    assert.ok(!isPrivate(address, lenient), address);
  }
  for (const address of ['10.0.0.1', '::ffff:10.0.0.1', 'fe80::1']) assert.ok(isPrivate(address, lenient), address);
});

test('networks that are named beside are private', () => {
  const more = new PrivateAddresses(false, ['203.0.113.128/25', '2001:db8:0:8000::/49', '198.51.100.7/32']);
  for (const address of [
    '203.0.113.128',
    '203.0.113.255',
    '2001:db8:0:8000::1',
    '198.51.100.7',
    '::ffff:198.51.100.7',
  ]) {
    assert.ok(isPrivate(address, more), address);
  }
  for (const address of ['203.0.113.127', '2001:db8:0:7fff::1', '198.51.100.6']) {
    assert.ok(!isPrivate(address, more), address);
  }
});

test('addresses are written as RFC 5952 has them', () => {
  for (const address of ['10.0.0.1', '::', '::1', 'fd00::1', '2001:db8:0:1:1:1:1:1', '2001:0:0:1::1', 'fe80::']) {
    assert.equal(addressText(addressOctets(address)), address);
  }
});
