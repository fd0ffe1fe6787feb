/** RFC 6840 §5.7, §5.8: AD in a query says that the client "understands" it; AD in an answer goes only to those with AD or DO set. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, flag, query, questionName, reply } from '../../fake/octets.ts';

test('AD is told only to clients that set AD or DO, forwarded and cached', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) =>
    reply(bytes, { flags: flag.ra | flag.ad, answers: [a(questionName, 60, '192.0.2.7')] });
  for (const [what, packet, told] of [
    ['neither', query('a'), false],
    ['AD', query('a', { flags: flag.rd | flag.ad }), true],
    ['DO, forwarded', ednsQuery('a', { dnssecOk: true }), true],
    ['DO, cached', ednsQuery('a', { dnssecOk: true }), true],
    ['neither, cached', ednsQuery('a'), false],
  ] as const) {
    assert.equal((await agent.answer(packet)).flags.includes('ad'), told, what);
  }
});

test('AD is not invented, and the upstream is always asked for it', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  const answer = await agent.answer(ednsQuery('a', { dnssecOk: true }, { flags: flag.ad }));
  assert.ok(!answer.flags.includes('ad'));
  agent.ask(query('b'));
  assert.ok(agent.upstream.last.bytes.readUInt16BE(2) & flag.ad);
});

test('an error has no data that could be authenticated, whatever the upstream says', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { flags: flag.ra | flag.ad, rcode: 1 });
  const answer = await agent.answer(query('c', { flags: flag.rd | flag.ad }));
  assert.equal(answer.rcode, 1);
  assert.ok(!answer.flags.includes('ad'));
});
