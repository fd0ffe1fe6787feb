/** RFC 6891 §6.1.3: to a version that it does not implement a responder "MUST respond with RCODE=BADVERS", and its own version. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { ednsQuery } from '../../fake/octets.ts';

test('an EDNS version above 0 gets BADVERS, version 0, its question and no upstream query', async () => {
  for (const version of [1, 255]) {
    const agent = new FakeAgent();
    const answer = await agent.answer(ednsQuery('a.example', { version }));
    assert.equal(answer.rcode, 16);
    assert.equal(answer.edns?.version, 0);
    assert.deepEqual(answer.question, 'a.example IN A');
    assert.deepEqual(agent.upstream.queries, []);
  }
});
