/** RFC 1035 §4.1.4: a compressed name ends in "a pointer to a prior occurance of the same name". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, encodeName, query, questionName, record, reply, type } from '../../fake/octets.ts';

/** `mail` + a pointer to `example.com` within the question `www.example.com`. */
const mail = Buffer.concat([encodeName('mail').subarray(0, -1), Buffer.of(0xc0, 12 + 4)]);

test('compressed names in owners and data reach the client, forwarded and cached', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) =>
    reply(bytes, { answers: [record(questionName, type.CNAME, 60, mail), a(mail, 60, '192.0.2.7')] });
  for (const _ of ['forwarded', 'cached']) {
    assert.deepEqual((await agent.answer(query('www.example.com'))).answers, [
      'www.example.com 60 CNAME mail.example.com',
      'mail.example.com 60 A 192.0.2.7',
    ]);
  }
});

for (const [what, owner] of [
  ['at itself', (at: number) => Buffer.of(0xc0 | (at >> 8), at)],
  ['forwards', (at: number) => Buffer.of(0xc0 | (at >> 8), at + 2)],
  ['behind the end', () => Buffer.of(0xff, 0xff)],
] as const) {
  test(`an answer with a pointer that points ${what} is not passed on: SERVFAIL`, async () => {
    const agent = new FakeAgent();
    agent.upstream.answer = ({ bytes }) => {
      return reply(bytes, { answers: [a(owner(bytes.length - 11), 60, '192.0.2.7')] });
    };
    for (const _ of ['forwarded', 'remembered']) {
      const answer = await agent.answer(query());
      assert.equal(answer.rcode, 2);
      assert.deepEqual(answer.answers, []);
    }
  });
}
