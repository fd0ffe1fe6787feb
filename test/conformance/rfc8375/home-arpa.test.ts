/** RFC 8375 §4: names in "home.arpa." mean something in one network only, and "MUST NOT be forwarded" outside of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, query, questionName, reply, soa } from '../../fake/octets.ts';

const ds = 43;

test('names below home.arpa are asked about only where a zone is configured', async () => {
  const answer = async (zones: string[], name: string) => {
    const agent = new FakeAgent({ blocks: zones.map((zone) => ({ zone })) });
    agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
    const { rcode, answers } = await agent.answer(query(name));
    return rcode === 0 ? answers.length : rcode;
  };
  assert.equal(await answer([], 'nas.home.arpa'), 3);
  assert.equal(await answer([], 'home.arpa'), 0, 'the zone is there, and empty');
  for (const name of ['home.arpa', 'nas.home.arpa']) assert.equal(await answer(['home.arpa'], name), 1, name);
  assert.equal(await answer(['attic.home.arpa'], 'nas.attic.home.arpa'), 1);
  assert.equal(await answer(['attic.home.arpa'], 'nas.home.arpa'), 3);
  assert.equal(await answer([], 'myhome.arpa'), 1);
});

test('its DS record is asked for: the parent proves that it is not signed', async () => {
  const agent = new FakeAgent({});
  agent.upstream.answer = ({ bytes }) => reply(bytes, { authorities: [soa('arpa', 60, 60)] });
  assert.deepEqual((await agent.answer(query('home.arpa', { type: ds }))).authorities, ['arpa 60 SOA minimum=60']);
  assert.equal((await agent.answer(query('nas.home.arpa', { type: ds }))).rcode, 3);
  assert.equal(agent.upstream.queries.length, 1);
});
