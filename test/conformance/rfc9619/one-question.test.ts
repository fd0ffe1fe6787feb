/** RFC 9619 §3: "A DNS message with OPCODE = 0 MUST NOT include a QDCOUNT parameter whose value is greater than 1"; it is a FORMERR. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, message, opt, query, questionName, reply } from '../../fake/octets.ts';

test('two questions, and none, get FORMERR', async () => {
  const agent = new FakeAgent();
  for (const questions of [[{ name: 'a' }, { name: 'b' }], []]) {
    assert.equal((await agent.answer(message({ questions }))).rcode, 1);
  }
  const claimed = message({ questions: [{ name: 'a' }], counts: [0xffff, 0, 0, 0] });
  assert.equal((await agent.answer(claimed)).rcode, 1);
  const denied = message({ questions: [{ name: 'a' }], counts: [0, 0, 0, 0] });
  assert.equal((await agent.answer(denied)).rcode, 1);
  assert.deepEqual(agent.upstream.queries, []);
});

test('an upstream’s answer with two questions is not passed on', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes: asked }) =>
    reply(asked, { questions: [{ name: 'a' }, { name: 'a' }], answers: [a(questionName, 60, '192.0.2.7')] });
  assert.equal((await agent.answer(query('a'))).rcode, 2);
});

test('no question gets FORMERR even beside a cookie: RFC 7873 §5.4 is for servers that have cookies, and we have none', async () => {
  const agent = new FakeAgent();
  const cookie = opt({ options: [{ code: 10, data: Buffer.alloc(8, 0xab) }] });
  const answer = await agent.answer(message({ additionals: [cookie] }));
  assert.equal(answer.rcode, 1);
  assert.ok(!answer.edns?.options.includes(10));
});
