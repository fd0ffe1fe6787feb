/** RFC 1035 §4.1.1: the ID "is copied" into the reply, RD "is copied into the response", AA only from "an authority". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, flag, query, questionName, reply } from '../../fake/octets.ts';

test('id and RD are the client’s, RA is set and AA is not, whatever the upstream says', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) =>
    reply(bytes, { flags: flag.aa | flag.ra, answers: [a(questionName, 60, '192.0.2.7')] });
  for (const [what, id, flags, expected] of [
    ['forwarded', 0xfedc, flag.rd, ['qr', 'rd', 'ra']],
    ['from the cache', 0x0001, 0, ['qr', 'ra']],
  ] as const) {
    const answer = await agent.answer(query('www.example.com', { id, flags }));
    assert.equal(answer.id, id, what);
    assert.deepEqual(answer.flags, expected, what);
  }
  assert.equal(agent.upstream.queries.length, 1);
});

test('the upstream is asked for recursion even where the client did not ask for it', () => {
  const agent = new FakeAgent();
  agent.ask(query('www.example.com', { flags: 0 }));
  assert.ok(agent.upstream.last.bytes.readUInt16BE(2) & flag.rd);
});
