import assert from 'node:assert/strict';
import { test } from 'node:test';
import { octetsOf } from '../../test/fake/cache-entry.ts';
import { ednsQuery, encodeName, flag, query as packetOf, questionEnd } from '../../test/fake/octets.ts';
import { Accept, Query } from './query.ts';

function keyOf(packet: Buffer): string {
  const query = new Query();
  assert.equal(query.parse(packet), Accept.Yes);
  const { name, type, class: of, questionFlags, hash } = query;
  return name + String.fromCharCode(type, of, questionFlags) + hash;
}

test('what makes another answer makes another key, and nothing else does', () => {
  const plain = keyOf(packetOf('www.example'));
  const same = [
    packetOf('WWW.example', { id: 7 }),
    packetOf('www.example', { flags: flag.ad }),
    ednsQuery('www.example', { udpSize: 4096, options: [{ code: 65_001, data: Buffer.alloc(0) }] }),
  ];
  for (const packet of same) assert.equal(keyOf(packet), plain);
  const others = [
    packetOf('ww.example'),
    packetOf('www.example', { type: 28 }),
    packetOf('www.example', { type: 257 }),
    packetOf('www.example', { class: 4 }),
    packetOf('www.example', { flags: flag.cd }),
    ednsQuery('www.example', { dnssecOk: true }),
    ednsQuery('www.example', { dnssecOk: true }, { flags: flag.cd }),
  ].map(keyOf);
  assert.equal(new Set([plain, ...others]).size, 8);
});

test('no name can be written so that its key is that of another question', () => {
  // `a` of class IN, type A, against a label that holds the octets that would follow.
  const tail = '\0\0\x01\0\x01\0';
  const [short, long] = [packetOf('a'), packetOf(`a${tail}`)];
  assert.notEqual(keyOf(short), keyOf(long));
  assert.ok(!keyOf(long).startsWith(keyOf(short)));
});

test('a query is pointed at packet after packet, and nothing of the one before remains', () => {
  const query = new Query();
  const options = [{ code: 65_001, data: Buffer.alloc(0) }];
  assert.equal(query.parse(ednsQuery('a', { udpSize: 4096, dnssecOk: true, options })), Accept.Yes);
  assert.deepEqual([query.edns, query.udpSize, query.dnssecOk, query.asksOrigin], [true, 4096, true, true]);
  const plain = packetOf('bb');
  assert.equal(query.parse(plain), Accept.Yes);
  assert.deepEqual([query.edns, query.udpSize, query.dnssecOk, query.asksOrigin], [false, 512, false, false]);
  assert.deepEqual(octetsOf(query), plain.subarray(12));
  assert.equal(query.parse(plain.subarray(0, 14)), Accept.FormErr);
  assert.equal(octetsOf(query).length, 0);
});

test('a detached query does not change with the packet', () => {
  const query = new Query();
  const packet = ednsQuery('Www.example', { dnssecOk: true });
  query.parse(packet);
  const detached = query.detach();
  const question = Buffer.from(packet.subarray(12, questionEnd(packet)));
  packet.fill(0xff);
  query.parse(packetOf('other'));
  assert.deepEqual(octetsOf(detached), question);
  assert.equal(detached.name, encodeName('www.example').toString('latin1'));
  assert.deepEqual([detached.id, detached.edns, detached.dnssecOk], [0x1234, true, true]);
});
