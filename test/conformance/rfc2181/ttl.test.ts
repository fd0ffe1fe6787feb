/** RFC 2181 §8: a TTL with "the most significant bit set" is to be treated "as if the entire value received was zero". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, query, questionName, reply, soa } from '../../fake/octets.ts';

for (const [what, ttl] of [
  ['0', 0],
  ['2³¹', 0x80000000],
  ['2³² - 1', 0xffffffff],
] as const) {
  test(`an answer with TTL ${what} is passed on with TTL 0, and not cached`, async () => {
    const agent = new FakeAgent();
    agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, ttl, '192.0.2.7')] });
    for (const _ of [1, 2]) assert.deepEqual((await agent.answer(query('a'))).answers, ['a 0 A 192.0.2.7']);
    assert.equal(agent.upstream.queries.length, 2);
    assert.equal(agent.cache.size, 0);
  });
}

test('the largest TTL is valid, and bounded by the block', async () => {
  const agent = new FakeAgent({ root: { cacheDurationInSeconds: 900 } });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 0x7fffffff, '192.0.2.7')] });
  for (const _ of ['forwarded', 'cached']) {
    assert.deepEqual((await agent.answer(query('a'))).answers, ['a 900 A 192.0.2.7']);
  }
  assert.equal(agent.upstream.queries.length, 1);
});

test('TTLs count down by whole seconds, and the answer is gone when the shortest has run out', async () => {
  // Without asking for it before its end, which would hide the end.
  const agent = new FakeAgent({ local: { cache: { maxBytes: 1 << 20, prefetch: false, warmRestart: false } } });
  agent.upstream.answer = ({ bytes }) =>
    reply(bytes, { answers: [a(questionName, 10, '192.0.2.7'), a('other.example', 25, '192.0.2.8')] });
  const seen: string[][] = [];
  for (const stepMs of [0, 999, 1, 8_999, 1]) {
    await agent.clock.advance(stepMs);
    seen.push((await agent.answer(query('a'))).answers);
  }
  const told = (first: number, second: number) => [`a ${first} A 192.0.2.7`, `other.example ${second} A 192.0.2.8`];
  assert.deepEqual(seen, [told(10, 25), told(10, 25), told(9, 24), told(1, 16), told(10, 25)]);
  assert.equal(agent.upstream.queries.length, 2);
});

test('a SOA MINIMUM with the top bit set means 0 as well', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 3, authorities: [soa('example', 60, 0xffffffff)] });
  await agent.answer(query('a.example'));
  assert.equal(agent.cache.size, 0);
});
