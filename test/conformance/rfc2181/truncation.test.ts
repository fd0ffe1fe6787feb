/** RFC 2181 §9: with TC set, the client should "ignore that response, and query again"; truncated data are not to be used. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, flag, opt, query, questionName, reply, txt } from '../../fake/octets.ts';

const text = 'x'.repeat(200);
const long = [1, 2, 3, 4, 5, 6, 7].map(() => txt(questionName, 60, text));

test('an answer longer than the client takes has TC=1 and nothing partial, forwarded and cached', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: long, additionals: [opt({})] });
  for (const what of ['forwarded', 'cached']) {
    const octets = await agent.octets(query('long.example', { type: 16 }));
    assert.equal(octets.length, 12 + 14 + 4, what);
    const answer = await agent.answer(ednsQuery('long.example', {}, { type: 16 }));
    assert.deepEqual(answer.flags, ['qr', 'tc', 'rd', 'ra'], what);
    assert.deepEqual(answer.answers, [], what);
    assert.equal(answer.edns?.udpSize, 1232, what);
  }
  assert.equal((await agent.answer(query('long.example', { type: 16 }), true)).answers.length, 7);
  assert.equal(agent.upstream.queries.length, 1);
  assert.equal(agent.count('truncated'), 4);
});

test('an answer of exactly the size that the client takes is whole; one octet more is not', async () => {
  const agent = new FakeAgent();
  /** Header 12, question 7, TXT record 12 + 1 + length. */
  const ofSize = (size: number) => [txt(questionName, 60, 'x'.repeat(200), 'x'.repeat(size - 12 - 7 - 12 - 202))];
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: ofSize(bytes[13] === 0x61 ? 512 : 513) });
  const whole = await agent.octets(query('a', { type: 16 }));
  assert.equal(whole.length, 512);
  assert.equal(whole.readUInt16BE(2) & flag.tc, 0);
  assert.ok((await agent.octets(query('b', { type: 16 }))).readUInt16BE(2) & flag.tc);
});

test('a truncated answer is asked for again over TCP, and the whole one is served and cached', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes, overTcp }) =>
    overTcp
      ? reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] })
      : reply(bytes, { flags: flag.tc, answers: [a(questionName, 60, '192.0.2.66')] });
  for (const what of ['forwarded', 'cached']) {
    const answer = await agent.answer(query('www.example.com'));
    assert.deepEqual(answer.answers, ['www.example.com 60 A 192.0.2.7'], what);
    assert.ok(!answer.flags.includes('tc'), what);
  }
  assert.deepEqual(
    agent.upstream.queries.map(({ overTcp }) => overTcp),
    [false, true],
  );
});

test('an answer that is truncated even over TCP is neither served as if it were whole nor cached', async () => {
  const agent = new FakeAgent({ root: { protocol: 'ForceTCP' } });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { flags: flag.tc, answers: [a(questionName, 60, '192.0.2.66')] });
  for (const _ of ['forwarded', 'remembered']) {
    const answer = await agent.answer(ednsQuery('www.example.com'));
    assert.deepEqual(answer.answers, []);
    assert.equal(answer.rcode, 2);
  }
});
