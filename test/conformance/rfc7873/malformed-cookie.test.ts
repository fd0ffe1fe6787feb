/** RFC 7873 §5.2.2: a cookie option that "is not a valid length" gets FORMERR; §6: cookies are hop by hop. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, questionName, reply } from '../../fake/octets.ts';

const cookie = 10;

test('8 octets, or 16 to 40, are served, and nothing of them goes to the server; any other length is malformed', async () => {
  for (let length = 0; length <= 42; length += 1) {
    const agent = new FakeAgent();
    agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
    const options = [{ code: cookie, data: Buffer.alloc(length, 0xab) }];
    const isValid = length === 8 || (length >= 16 && length <= 40);
    assert.equal((await agent.answer(ednsQuery('a', { options }))).rcode, isValid ? 0 : 1, `${length} octets`);
    assert.equal(agent.upstream.queries.length, isValid ? 1 : 0);
    assert.ok(agent.upstream.queries.every(({ bytes }) => !bytes.includes(0xab)));
  }
});
