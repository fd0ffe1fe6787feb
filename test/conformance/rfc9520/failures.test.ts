/**
 * RFC 9520 §3.2: "Resolvers MUST cache resolution failures for at least 1 second", "SHOULD employ an exponential or linear backoff"
 * for those that persist, "MUST NOT" for longer than 5 minutes; §3.3: equal queries meanwhile are not sent upstream.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, questionName, reply } from '../../fake/octets.ts';

for (const [what, rcode, answer] of [
  ['SERVFAIL', 2, (bytes: Buffer) => reply(bytes, { rcode: 2 })],
  ['REFUSED', 5, (bytes: Buffer) => reply(bytes, { rcode: 5 })],
  ['what cannot be read', 2, (bytes: Buffer) => bytes.subarray(0, 12)],
] as const) {
  test(`${what} is remembered for 1, 2, 4 and then 5 seconds, and the answer says that it is remembered`, async () => {
    const agent = new FakeAgent({ root: { protocol: 'ForceTCP' } });
    agent.upstream.answer = ({ bytes }) => answer(bytes);
    for (const [asked, seconds] of [1, 2, 4, 5, 5].entries()) {
      assert.equal((await agent.answer(ednsQuery('a.example'))).rcode, rcode);
      assert.equal(agent.upstream.queries.length, asked + 1);
      await agent.clock.advance(seconds * 1_000 - 1);
      const { rcode: again, extendedError } = await agent.answer(ednsQuery('a.example'));
      assert.deepEqual({ again, extendedError }, { again: rcode, extendedError: 13 });
      assert.equal(agent.upstream.queries.length, asked + 1);
      await agent.clock.advance(1);
    }
  });
}

test('a good answer, or half a minute, ends the sequence', async () => {
  const agent = new FakeAgent();
  const fails = ({ bytes }: { bytes: Buffer }) => reply(bytes, { rcode: 2 });
  const works = ({ bytes }: { bytes: Buffer }) => reply(bytes, { answers: [a(questionName, 1, '192.0.2.7')] });
  const rememberedMs = async () => {
    await agent.answer(ednsQuery('a.example'));
    const asked = agent.upstream.queries.length;
    for (let ms = 0; ; ms += 500) {
      await agent.answer(ednsQuery('a.example'));
      if (agent.upstream.queries.length > asked) return ms;
      await agent.clock.advance(500);
    }
  };
  agent.upstream.answer = fails;
  assert.equal(await rememberedMs(), 1_000);
  await agent.clock.advance(2_000);
  agent.upstream.answer = works;
  await agent.answer(ednsQuery('a.example'));
  await agent.clock.advance(1_000);
  agent.upstream.answer = fails;
  assert.equal(await rememberedMs(), 1_000);
  await agent.clock.advance(2_000 + 30_000);
  assert.equal(await rememberedMs(), 1_000);
});

test('a failure takes no answer away that may still be served, and nothing is kept where nothing is cached', async () => {
  const agent = new FakeAgent({ root: { serveStale: 'Immediate' } });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 10, '192.0.2.7')] });
  await agent.answer(ednsQuery('a.example'));
  await agent.clock.advance(10_000);
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 2 });
  for (const _ of ['refreshes', 'has failed']) {
    assert.deepEqual((await agent.answer(ednsQuery('a.example'))).answers, ['a.example 10 A 192.0.2.7']);
  }
  const uncached = new FakeAgent({ root: { cacheDurationInSeconds: 0 } });
  uncached.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 2 });
  for (const asked of [1, 2]) {
    await uncached.answer(ednsQuery('a.example'));
    assert.equal(uncached.upstream.queries.length, asked);
  }
});
