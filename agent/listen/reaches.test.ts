import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { reaches } from './reaches.ts';

const own = () => ['127.0.0.1', '10.0.0.7', '::1', 'fd00::7'];

for (const [server, listener, expected] of [
  ['127.0.0.1', '127.0.0.1', true],
  ['127.0.0.2', '127.0.0.1', false],
  ['::ffff:127.0.0.1', '127.0.0.1', true],
  ['::FFFF:7f00:1', '127.0.0.1', true],
  ['127.0.0.1', '::ffff:127.0.0.1', true],
  ['0:0:0:0:0:0:0:1', '::1', true],
  ['0.0.0.0', '127.0.0.1', true],
  ['::', '::1', true],
  ['::', '127.0.0.1', false],
  ['127.0.0.1', '0.0.0.0', true],
  ['127.1.2.3', '0.0.0.0', true],
  ['10.0.0.7', '0.0.0.0', true],
  ['::ffff:10.0.0.7', '0.0.0.0', true],
  ['10.0.0.8', '0.0.0.0', false],
  ['0.0.0.0', '0.0.0.0', true],
  ['fd00::7', '0.0.0.0', false],
  ['::1', '::', true],
  ['fd00::7', '::', true],
  ['fd00::8', '::', false],
  // The listeners' sockets of IPv6 take no IPv4.
  ['10.0.0.7', '::', false],
] as const) {
  test(`what is sent to ${server} ${expected ? 'comes' : 'does not come'} to a listener on ${listener}, on the same port alone`, () => {
    assert.equal(reaches({ address: server, port: 53 }, { address: listener, port: 53 }, own), expected);
    assert.equal(reaches({ address: server, port: 53 }, { address: listener, port: 54 }, own), false);
  });
}

test('the addresses of this machine are those of its interfaces', () => {
  for (const { address, family } of Object.values(networkInterfaces()).flatMap((all) => all ?? [])) {
    const any = family === 'IPv6' ? '::' : '0.0.0.0';
    assert.ok(reaches({ address, port: 53 }, { address: any, port: 53 }), address);
  }
});
