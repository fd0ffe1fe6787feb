/** RFC 2308 §2.2: NODATA means that "the name is valid, but there are no records of the given type"; other types may exist. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, query, questionName, reply, soa, type } from '../../fake/octets.ts';

test('NODATA for AAAA hides no A', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) =>
    bytes.readUInt16BE(bytes.length - 11 - 4) === type.A
      ? reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] })
      : reply(bytes, { authorities: [soa('example', 60, 60)] });
  for (const _ of ['forwarded', 'cached']) {
    assert.deepEqual((await agent.answer(query('a.example', { type: type.AAAA }))).answers, []);
    assert.deepEqual((await agent.answer(query('a.example'))).answers, ['a.example 60 A 192.0.2.7']);
  }
  assert.equal(agent.upstream.queries.length, 2);
});
