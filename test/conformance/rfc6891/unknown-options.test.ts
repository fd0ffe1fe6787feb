/** RFC 6891 §6.1.2: options that are "not understood ... MUST be ignored"; §6.2.6: EDNS is hop by hop. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, questionEnd, questionName, reply } from '../../fake/octets.ts';

const options = [
  { code: 4242, data: Buffer.from('secret') },
  { code: 8, data: Buffer.from('0001180 0c00002'.replaceAll(' ', ''), 'hex') },
  { code: 65_535, data: Buffer.alloc(0) },
];

test('a query with unknown options is served as one without, and they reach neither upstream nor answer', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  const answer = await agent.answer(ednsQuery('a', { options }));
  assert.deepEqual(answer.answers, ['a 60 A 192.0.2.7']);
  assert.deepEqual(answer.edns?.options, []);
  const { bytes } = agent.upstream.last;
  assert.equal(bytes.length, questionEnd(bytes) + 11);
  assert.equal(bytes.readUInt16BE(bytes.length - 2), 0);
});
