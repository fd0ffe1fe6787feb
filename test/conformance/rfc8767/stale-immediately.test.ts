/**
 * RFC 8767 §4: a stale answer has a TTL greater than 0, "with a value of 30 seconds recommended". Immediate departs from §5 by
 * intent: the stale answer comes first, and the refresh behind it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, query, questionName, reply, soa } from '../../fake/octets.ts';

const immediate = { serveStale: 'Immediate', serveStaleDurationInSeconds: 3600 } as const;

async function withAnswer(root: object, ttl = 300): Promise<FakeAgent> {
  const agent = new FakeAgent({ root: { ...immediate, ...root } });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, ttl, '192.0.2.7')] });
  await agent.answer(query('a'));
  agent.upstream.answer = () => undefined;
  await agent.clock.advance(ttl * 1000);
  return agent;
}

test('an expired answer is served at once with TTL 30 and EDE 3, and the next client gets the fresh one', async () => {
  const agent = await withAnswer({});
  const stale = await agent.answer(ednsQuery('a'));
  assert.deepEqual(stale.answers, ['a 30 A 192.0.2.7']);
  assert.equal(stale.extendedError, 3);
  assert.equal(agent.upstream.queries.length, 2);

  const { bytes } = agent.upstream.last;
  agent.upstream.last.send(reply(bytes, { answers: [a(questionName, 300, '192.0.2.8')] }));
  await agent.clock.advance(0);
  const fresh = await agent.answer(ednsQuery('a'));
  assert.deepEqual(fresh.answers, ['a 300 A 192.0.2.8']);
  assert.equal(fresh.extendedError, undefined);
});

test('a TTL that was below 30 stays what it was', async () => {
  const agent = await withAnswer({}, 5);
  assert.deepEqual((await agent.answer(query('a'))).answers, ['a 5 A 192.0.2.7']);
});

test('an expired NXDOMAIN says EDE 19', async () => {
  const agent = new FakeAgent({ root: immediate });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 3, authorities: [soa('example', 60, 60)] });
  await agent.answer(query('a.example'));
  agent.upstream.answer = () => undefined;
  await agent.clock.advance(60_000);
  const stale = await agent.answer(ednsQuery('a.example'));
  assert.equal(stale.rcode, 3);
  assert.equal(stale.extendedError, 19);
  assert.deepEqual(stale.authorities, ['example 30 SOA minimum=60']);
});

test('a fresh NXDOMAIN replaces stale data', async () => {
  const agent = await withAnswer({});
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 3, authorities: [soa('a', 60, 60)] });
  await agent.answer(query('a'));
  assert.equal((await agent.answer(query('a'))).rcode, 3);
});

test('past serveStaleDurationInSeconds, and where stale answers are disabled, an expired answer is not served', async () => {
  const past = await withAnswer({ serveStaleDurationInSeconds: 60 });
  await past.clock.advance(59_999);
  assert.notEqual(past.ask(query('a')).answer, undefined);
  await past.clock.advance(1);
  assert.equal(past.ask(query('a')).answer, undefined);

  const disabled = await withAnswer({ serveStale: 'Disable' });
  assert.equal(disabled.ask(query('a')).answer, undefined);
});
