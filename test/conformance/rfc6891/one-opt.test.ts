/** RFC 6891 §6.1.1: "more than one OPT RR" is a FORMERR; its name "MUST be 0 (root domain)"; it stands in the additional section. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, encodeName, opt, query, questionName, reply, type, u16 } from '../../fake/octets.ts';

const one = opt({});
const named = Buffer.concat([encodeName('a'), one.subarray(1)]);
const cut = Buffer.concat([one.subarray(0, 9), u16(3), Buffer.of(0, 10, 0)]);
const overlong = Buffer.concat([one.subarray(0, 9), u16(5), u16(10, 2), Buffer.of(0)]);

for (const [what, sections] of [
  ['two OPT records', { additionals: [one, one] }],
  ['an OPT record with a name', { additionals: [named] }],
  ['an OPT record in the answer section', { answers: [one] }],
  ['an OPT record in the authority section', { authorities: [one] }],
  ['an option that is cut off', { additionals: [cut] }],
  ['an option longer than its record', { additionals: [overlong] }],
] as const) {
  test(`${what}: FORMERR`, async () => {
    const agent = new FakeAgent();
    const answer = await agent.answer(query('a', { ...sections }));
    assert.equal(answer.rcode, 1);
    assert.deepEqual(agent.upstream.queries, []);
  });
}

for (const [what, sections] of [
  ['two OPT records', { additionals: [one, one] }],
  ['an OPT record in the answer section', { answers: [one] }],
] as const) {
  test(`an upstream’s answer with ${what} is not passed on: SERVFAIL`, async () => {
    const agent = new FakeAgent();
    const answers = [a(questionName, 60, '192.0.2.7')];
    agent.upstream.answer = ({ bytes }) => {
      return reply(bytes, { answers, ...sections });
    };
    assert.equal((await agent.answer(query('a', { type: type.A }))).rcode, 2);
  });
}
