/** RFC 6761 §6.3: "localhost." and names within it are the loopback addresses; §6.4: "invalid." does not exist; RFC 7686 §2: nor does "onion.". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, query, questionName, reply, type } from '../../fake/octets.ts';

function agentWith(...zones: string[]): FakeAgent {
  const agent = new FakeAgent({ blocks: zones.map((zone) => ({ zone })) });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  return agent;
}

test('localhost and what is below it is the loopback, in both families, and has nothing else', async () => {
  const agent = agentWith();
  for (const name of ['localhost', 'App.LocalHost']) {
    assert.deepEqual((await agent.answer(query(name))).answers, [`${name} 3600 A 127.0.0.1`]);
    assert.equal((await agent.answer(query(name, { type: type.AAAA }))).answers.length, 1);
    const { rcode, answers } = await agent.answer(query(name, { type: type.TXT }));
    assert.deepEqual({ rcode, answers }, { rcode: 0, answers: [] });
  }
  assert.equal(agent.upstream.queries.length, 0);
});

test('invalid and onion do not exist, and nobody is asked', async () => {
  const agent = agentWith();
  for (const name of ['invalid', 'a.invalid', 'b.onion']) assert.equal((await agent.answer(query(name))).rcode, 3);
  assert.equal(agent.upstream.queries.length, 0);
});

test('names that only look like these are asked about, and those of a zone that is configured', async () => {
  const agent = agentWith('onion');
  for (const name of ['localhost.example', 'mylocalhost', 'ab\tlocalhost', 'x.onion']) {
    assert.match((await agent.answer(query(name))).answers.join(), /192\.0\.2\.7$/, name);
  }
});
