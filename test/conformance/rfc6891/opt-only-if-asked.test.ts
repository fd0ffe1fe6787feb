/** RFC 6891 §6.1.1, §7: an OPT record answers an OPT record; it "MUST NOT be cached, forwarded". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, opt, query, questionName, reply } from '../../fake/octets.ts';

const upstreamOpt = opt({ udpSize: 4096, options: [{ code: 10, data: Buffer.from('0123456789abcdef') }] });

test('a client without OPT gets none, and one with OPT gets ours: forwarded, cached, failed and faild', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes, fail }) => {
    if (bytes.includes('bad')) fail();
    return reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')], additionals: [upstreamOpt] });
  };
  for (const name of ['a', 'a', 'bad']) {
    const plain = await agent.octets(query(name));
    assert.equal(plain.readUInt16BE(10), 0, name);
    const { edns: ours } = await agent.answer(ednsQuery(name));
    assert.equal(ours?.udpSize, 1232, name);
    assert.equal(ours?.version, 0, name);
    assert.deepEqual(ours?.options, name === 'bad' ? [15] : [], name);
  }
  const transfer = await agent.answer(ednsQuery('a', {}, { type: 252 }));
  assert.equal(transfer.edns?.udpSize, 1232);
});

test('what stands beside the upstream’s OPT survives it', async () => {
  const agent = new FakeAgent();
  const glue = a('ns.example', 60, '192.0.2.9');
  agent.upstream.answer = ({ bytes }) =>
    reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')], additionals: [glue, upstreamOpt] });
  for (const what of ['forwarded', 'cached']) {
    const answer = await agent.answer(ednsQuery('a'));
    assert.deepEqual(answer.additionals, ['ns.example 60 A 192.0.2.9'], what);
    assert.equal(answer.edns?.udpSize, 1232, what);
    assert.deepEqual((await agent.answer(query('a'))).additionals, ['ns.example 60 A 192.0.2.9'], what);
  }
});
