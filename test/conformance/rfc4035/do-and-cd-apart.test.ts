/** RFC 4035 §3.2.2, §4.7: answers to queries with CD or DO set may hold what other clients must not see ("unverified data"). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, flag, questionName, record, reply, type } from '../../fake/octets.ts';

test('each combination of DO and CD has its own answer, and CD reaches upstream and client', async () => {
  const agent = new FakeAgent();
  let number = 0;
  agent.upstream.answer = ({ bytes }) => {
    number += 1;
    return reply(bytes, { answers: [a(questionName, 60, `192.0.2.${number}`)] });
  };
  const seen: string[][] = [];
  for (const _ of ['forwarded', 'cached']) {
    for (const dnssecOk of [false, true]) {
      for (const cd of [0, flag.cd]) {
        const answer = await agent.answer(ednsQuery('a', { dnssecOk }, { flags: flag.rd | cd }));
        assert.equal(answer.flags.includes('cd'), cd !== 0);
        assert.equal(agent.upstream.queries.length > 4 || number > 4, false);
        seen.push(answer.answers);
      }
    }
  }
  const own = [1, 2, 3, 4].map((last) => [`a 60 A 192.0.2.${last}`]);
  assert.deepEqual(seen, [...own, ...own]);
  assert.deepEqual(
    agent.upstream.queries.map(({ bytes }) => (bytes.readUInt16BE(2) & flag.cd) !== 0),
    [false, true, false, true],
  );
});

test('signatures pass intact', async () => {
  const agent = new FakeAgent();
  const signature = record(
    questionName,
    type.RRSIG,
    60,
    Buffer.from('0001080100000e10deadbeefdeadbeef123400ffee', 'hex'),
  );
  agent.upstream.answer = ({ bytes }) => {
    return reply(bytes, { answers: [a(questionName, 60, '192.0.2.7'), signature] });
  };
  for (const what of ['forwarded', 'cached']) {
    assert.ok((await agent.octets(ednsQuery('a', { dnssecOk: true }))).includes(signature), what);
  }
});
