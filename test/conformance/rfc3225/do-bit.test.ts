/** RFC 3225 §3: the DO bit "MUST be copied in the response"; without it, no security records are to be sent. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, opt, query, questionEnd, questionName, reply } from '../../fake/octets.ts';

test('DO is copied into the answer, forwarded and cached, and is never set for others', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) =>
    reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')], additionals: [opt({ dnssecOk: true })] });
  for (const dnssecOk of [true, false, true, false]) {
    assert.equal((await agent.answer(ednsQuery('a', { dnssecOk }))).edns?.dnssecOk, dnssecOk);
  }
});

test('the upstream is asked with DO only where the client set it', () => {
  const agent = new FakeAgent();
  const upstreamDo = () => {
    const { bytes } = agent.upstream.last;
    return bytes.readUInt16BE(questionEnd(bytes) + 7);
  };
  agent.ask(query('a'));
  assert.equal(upstreamDo(), 0);
  agent.ask(ednsQuery('b', { dnssecOk: true }));
  assert.equal(upstreamDo(), 0x8000);
});
