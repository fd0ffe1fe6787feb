/** RFC 9715 §3.1, §3.2: limit the UDP size "to a maximum size of 1232 bytes" (R4, R5), whatever the other side says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { ednsQuery, query, questionEnd, questionName, reply, txt } from '../../fake/octets.ts';

const size = 1232;

test('clients and upstreams are told 1232', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes);
  assert.equal((await agent.answer(ednsQuery('a', { udpSize: 4096 }))).edns?.udpSize, size);
  const { bytes } = agent.upstream.last;
  assert.equal(bytes.readUInt16BE(questionEnd(bytes) + 3), size);
  agent.ask(query('b'));
  assert.equal(agent.upstream.last.bytes.length, questionEnd(agent.upstream.last.bytes) + 11);
});

test('an answer of more than 1232 octets is truncated even for a client that takes 65,535', async () => {
  const agent = new FakeAgent();
  const bare = 12 + 7 + 12 + 11;
  const texts = (length: number) => [
    'x'.repeat(255),
    'x'.repeat(255),
    'x'.repeat(255),
    'x'.repeat(255),
    'x'.repeat(length),
  ];
  agent.upstream.answer = ({ bytes }) =>
    reply(bytes, {
      answers: [txt(questionName, 60, ...texts(size - bare - 4 * 256 - 1 + (bytes[13] === 0x61 ? 0 : 1)))],
    });
  const ask = (name: string) => agent.octets(ednsQuery(name, { udpSize: 65_535 }, { type: 16 }));
  assert.equal((await ask('a')).length, size);
  assert.equal((await ask('b')).length, 12 + 7 + 11);
});
