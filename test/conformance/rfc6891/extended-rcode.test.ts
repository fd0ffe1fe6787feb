/** RFC 6891 §6.1.3: EXTENDED-RCODE "forms the upper 8 bits" of the response code; BADVERS without them would read as NOERROR. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { ednsQuery, opt, query, reply } from '../../fake/octets.ts';

test('an upstream’s extended code is about its hop: clients get SERVFAIL, never its lower bits', async () => {
  for (const [extendedRcode, rcode] of [
    [1, 0],
    [1, 3],
    [255, 0],
  ] as const) {
    const agent = new FakeAgent();
    agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode, additionals: [opt({ extendedRcode })] });
    for (const _ of ['forwarded', 'remembered']) {
      assert.equal((await agent.octets(query('a'))).readUInt16BE(2) & 0xf, 2);
      assert.equal((await agent.answer(ednsQuery('b'))).rcode, 2);
    }
  }
});
