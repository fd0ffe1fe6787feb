/** RFC 8482 §4.2: a responder may answer ANY "with a synthesised HINFO resource record"; its CPU field "SHOULD be set to RFC8482". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, query, questionName, reply } from '../../fake/octets.ts';

const any = 255;

test('ANY gets one HINFO record, asks nobody, and fills no other type', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  const packet = query('a.example', { type: any });
  const octets = await agent.octets(packet);
  assert.equal(octets.readUInt16BE(6), 1);
  assert.deepEqual([...octets.subarray(packet.length + 2, packet.length + 4)], [0, 13]);
  assert.equal(octets.subarray(packet.length + 12).toString('latin1'), '\x07RFC8482\0');
  assert.equal(agent.upstream.queries.length, 0);
  assert.deepEqual((await agent.answer(query('a.example'))).answers, ['a.example 60 A 192.0.2.7']);
});
