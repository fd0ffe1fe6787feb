import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ednsQuery, query as packetOf, read } from '../../test/fake/octets.ts';
import { Query } from '../wire/query.ts';
import { identity, identityOf } from './identity.ts';

const chaos = 3;
const txtType = 16;

function asked(packet: Buffer, node = 'node-1', limit = 512): Buffer {
  const query = new Query();
  query.parse(packet);
  const out = Buffer.alloc(1500, 0xff);
  return out.subarray(0, identity(identityOf(node, 'node'))(query, out, limit));
}

test('the identity is told in full, also the longest that one text holds', () => {
  const packet = packetOf('id.server', { class: chaos, type: txtType });
  assert.deepEqual(read(asked(packet)).answers, ['id.server 0 TXT node-1/node']);
  assert.deepEqual(read(asked(packet, 'x'.repeat(300))).answers, [`id.server 0 TXT ${'x'.repeat(255)}`]);
});

test('it passes for every other class', () => {
  assert.equal(asked(packetOf('id.server', { type: txtType })).length, 0);
});

test('its origin is told to those who ask', () => {
  const options = [{ code: 65_001, data: Buffer.alloc(0) }];
  for (const name of ['id.server', 'version.server']) {
    const answer = asked(ednsQuery(name, { options }, { class: chaos, type: txtType }));
    assert.deepEqual(answer.subarray(-5), Buffer.of(0xfd, 0xe9, 0, 1, 3), name);
  }
});
