import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readMessage } from '../../test/fake/message.ts';
import { ednsQuery, flag, opt, query as packetOf, read } from '../../test/fake/octets.ts';
import { sizeLimit, writeEmptyAnswer } from './answer.ts';
import { extendedError, origin } from './edns.ts';
import { Query } from './query.ts';
import { writeUpstreamQuery } from './upstream-query.ts';

function parsed(packet: Buffer): Query {
  const query = new Query();
  query.parse(packet);
  return query;
}

test('the size of an answer is the client’s, between 512 and 1232, and over TCP what a length can say', () => {
  assert.equal(sizeLimit(parsed(packetOf('a')), false), 512);
  for (const [udpSize, limit] of [
    [0, 512],
    [1231, 1231],
    [1232, 1232],
    [65_535, 1232],
  ] as const) {
    assert.equal(sizeLimit(parsed(ednsQuery('a', { udpSize })), false), limit);
  }
  assert.equal(sizeLimit(parsed(packetOf('a')), true), 65_535);
});

test('an empty answer tells its reason and origin to clients with OPT that ask, in full', () => {
  const out = Buffer.alloc(600, 0xff);
  const query = parsed(ednsQuery('a', { options: [{ code: 65_001, data: Buffer.alloc(0) }] }));
  const length = writeEmptyAnswer(out, query, 2, extendedError.networkError, 'gone – away', origin.local);
  const answer = read(out.subarray(0, length));
  assert.equal(answer.rcode, 2);
  assert.equal(answer.extendedError, 23);
  assert.deepEqual(answer.edns?.options, [15, 65_001]);
  assert.ok(out.subarray(0, length).includes('gone – away'));
  assert.equal(out[length - 1], origin.local);
});

test('the reason of an error is cut, between characters, so that the longest question leaves room for it', () => {
  const out = Buffer.alloc(2_000);
  const name = Array.from({ length: 127 }, () => 'z').join('.');
  const query = parsed(ednsQuery(name, { udpSize: 512, options: [{ code: 65_001, data: Buffer.alloc(0) }] }));
  const length = writeEmptyAnswer(out, query, 2, extendedError.networkError, `.${'–'.repeat(500)}`, origin.local);
  assert.ok(length <= 512, `${length}`);
  assert.match(readMessage(out.subarray(0, length)).extendedError?.text ?? '', /^\.–{66}$/);
});

test('the query to an upstream is ours: RD and AD, the client’s CD, DO and spelling, and one OPT record', () => {
  const query = parsed(ednsQuery('Www.example', { dnssecOk: true, udpSize: 4096 }, { flags: flag.cd, type: 28 }));
  assert.deepEqual(
    writeUpstreamQuery(query),
    packetOf('Www.example', {
      id: 0,
      flags: flag.rd | flag.ad | flag.cd,
      type: 28,
      additionals: [opt({ dnssecOk: true, udpSize: 1232 })],
    }),
  );
});
