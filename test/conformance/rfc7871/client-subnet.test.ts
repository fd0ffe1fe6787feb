/**
 * RFC 7871 §7.1: whether the network of a client is told to servers is for each resolver to decide; ours tells none, nor passes one
 * on. So servers answer for the node, and its answer is the same for all clients (§7.3).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, opt, query, questionEnd, questionName, reply } from '../../fake/octets.ts';

const clientSubnet = 8;
const of = (network: string) => [{ code: clientSubnet, data: Buffer.from(network, 'hex') }];

test('a client’s network goes to no server and comes back to no client, and no answer is kept for one network alone', async () => {
  const agent = new FakeAgent();
  const answers = [a(questionName, 60, '192.0.2.7')];
  // A server that answers with a scope, though nobody asked for one.
  const additionals = [opt({ options: of('00011818c00002') })];
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers, additionals });
  for (const packet of [
    query('a'),
    ednsQuery('a', { options: of('00011800c00002') }),
    ednsQuery('a', { options: of('00011800c63364') }),
    ednsQuery('a', { options: of('00010000') }),
  ]) {
    const answer = await agent.answer(packet);
    assert.deepEqual(answer.answers, ['a 60 A 192.0.2.7']);
    assert.ok(!answer.edns?.options.includes(clientSubnet));
  }
  assert.equal(agent.upstream.queries.length, 1);
  const { bytes } = agent.upstream.last;
  assert.equal(bytes.length, questionEnd(bytes) + 11);
});
