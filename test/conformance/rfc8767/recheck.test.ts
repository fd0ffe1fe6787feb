/** RFC 8767 §5: after a failure, "attempts to refresh ... are not done too frequently": no sooner than each 30 seconds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, query, questionName, reply } from '../../fake/octets.ts';

async function stale(): Promise<FakeAgent> {
  const agent = new FakeAgent({ root: { serveStale: 'Immediate', serveStaleDurationInSeconds: 3600 } });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  await agent.answer(query('a'));
  await agent.clock.advance(60_000);
  return agent;
}

for (const [what, respond] of [
  ['SERVFAIL', (bytes: Buffer) => reply(bytes, { rcode: 2 })],
  ['REFUSED', (bytes: Buffer) => reply(bytes, { rcode: 5 })],
  ['nonsense', (bytes: Buffer) => reply(bytes, { counts: [1, 9, 9, 9] })],
] as const) {
  test(`after ${what}, 1,000 stale answers of the next 30 s cause no query; the one behind them causes one`, async () => {
    const agent = await stale();
    const before = agent.upstream.queries.length;
    agent.upstream.answer = ({ bytes }) => respond(bytes);
    await agent.answer(query('a'));
    assert.equal(agent.upstream.queries.length - before > 0, true);
    const failed = agent.upstream.queries.length;
    for (let step = 0; step < 1_000; step += 1) {
      // Under 30 s in all. The server itself is probed as well, which is no refresh of the answer.
      assert.deepEqual((await agent.answer(query('a'))).answers, ['a 30 A 192.0.2.7']);
    }
    assert.equal(agent.upstream.queries.length, failed);
    await agent.clock.advance(29_999);
    await agent.answer(query('a'));
    const recheck = agent.upstream.queries.length;
    await agent.clock.advance(1);
    await agent.answer(query('a'));
    assert.ok(agent.upstream.queries.length > recheck);
  });
}

test('while a refresh is under way, further stale answers cause no other one', async () => {
  const agent = await stale();
  agent.upstream.answer = () => undefined;
  const before = agent.upstream.queries.length;
  for (let step = 0; step < 10; step += 1) await agent.answer(query('a'));
  assert.equal(agent.upstream.queries.length, before + 1);
});
