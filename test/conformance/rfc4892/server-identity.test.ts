/** RFC 4892 §2: a query for "ID.SERVER" of class CHAOS and type TXT is answered with the server's identity. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { ednsQuery, query, type } from '../../fake/octets.ts';

const chaos = 3;

test('id.server says which node and listener answered, in any case, without an upstream', async () => {
  const agent = new FakeAgent();
  const answer = await agent.answer(query('ID.server', { class: chaos, type: type.TXT }));
  assert.equal(answer.rcode, 0);
  assert.deepEqual(answer.answers, ['ID.server 0 TXT node-1/node']);
  assert.equal(answer.edns, undefined);
  assert.equal((await agent.answer(ednsQuery('id.server', {}, { class: chaos, type: type.TXT }))).answers.length, 1);
  assert.deepEqual(agent.upstream.queries, []);
  assert.equal(agent.cache.size, 0);
});

test('what else is asked of that class is refused here, and told to no upstream', async () => {
  const agent = new FakeAgent();
  assert.equal((await agent.answer(query('version.bind', { class: chaos, type: type.TXT }))).rcode, 5);
  assert.equal((await agent.answer(query('id.server', { class: chaos, type: type.A }))).rcode, 5);
  assert.deepEqual(agent.upstream.queries, []);
});

test('the same name of class IN is a name as others', () => {
  const agent = new FakeAgent();
  agent.ask(query('id.server', { type: type.TXT }));
  assert.equal(agent.upstream.queries.length, 1);
});
