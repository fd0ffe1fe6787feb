/** RFC 8906 §3.1.1: queries for unknown or meta types deserve an answer; "a lack of response" is a failure. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { flag, query, questionName, record, reply, u16 } from '../../fake/octets.ts';

test('unknown types and classes, and reserved header bits, are forwarded as they are', async () => {
  for (const [type, recordClass] of [
    [0, 1],
    [1000, 1],
    [65_535, 1],
    [1, 4],
    [1, 254],
    [1, 255],
  ] as const) {
    const agent = new FakeAgent();
    agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 3 });
    const packet = query('a', { type, class: recordClass, flags: flag.rd | 0x40 });
    assert.equal((await agent.octets(packet)).readUInt16BE(2), flag.qr | flag.rd | flag.ra | 3);
    assert.deepEqual(agent.upstream.last.bytes.subarray(15, 19), u16(type, recordClass));
  }
});

test('answers to meta types pass and fill no cache', async () => {
  for (const type of [128, 249, 255]) {
    const agent = new FakeAgent();
    agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [record(questionName, type, 60, u16(1))] });
    await agent.octets(query('a', { type }));
    assert.equal(agent.cache.size, 0, `${type}`);
  }
});
