/** RFC 8375 §4: names in "home.arpa." mean something in one network only, and "MUST NOT be forwarded" outside of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, query, questionName, reply } from '../../fake/octets.ts';

test('names below home.arpa are asked about only where a zone is configured', async () => {
  const answer = async (zones: string[], name: string) => {
    const agent = new FakeAgent({ blocks: zones.map((zone) => ({ zone })) });
    agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
    const { rcode, answers } = await agent.answer(query(name));
    return rcode === 0 ? answers.length : rcode;
  };
  for (const name of ['home.arpa', 'nas.home.arpa']) {
    assert.equal(await answer([], name), 3, name);
    assert.equal(await answer(['home.arpa'], name), 1, name);
  }
  assert.equal(await answer(['attic.home.arpa'], 'nas.attic.home.arpa'), 1);
  assert.equal(await answer(['attic.home.arpa'], 'nas.home.arpa'), 3);
  assert.equal(await answer([], 'myhome.arpa'), 1);
});
