/** RFC 2181 §9: TC is not to be set "merely because some extra information could have been included, but there was insufficient room". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, encodeName, flag, query, questionName, record, reply, type, u16 } from '../../fake/octets.ts';

const typeSrv = 33;
const target = (number: number) => `endpoint-${number}.web.example`;
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);
const srv = (number: number) =>
  record(questionName, typeSrv, 60, Buffer.concat([u16(0, 1, 80), encodeName(target(number))]));
const address = (number: number) => a(target(number), 60, `192.0.2.${number}`);
const server = (number: number) => record(questionName, type.NS, 60, encodeName(target(number)));

test('extras for which there is no room are left out, and the rest is a whole answer', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) =>
    reply(bytes, {
      answers: numbers(8).map((at) => a(questionName, 60, `192.0.2.${at}`)),
      additionals: numbers(12).map(address),
    });
  for (const what of ['forwarded', 'cached']) {
    const answer = await agent.answer(query('web.example'));
    assert.deepEqual(answer.flags, ['qr', 'rd', 'ra'], what);
    assert.deepEqual([answer.answers.length, answer.additionals.length], [8, 0], what);
    const wide = await agent.answer(ednsQuery('web.example'));
    assert.deepEqual([wide.answers.length, wide.additionals.length, wide.edns?.udpSize], [8, 12, 1232], what);
  }
  assert.equal(agent.count('truncated'), 0);
});

test('servers’ names beside an answer are extras; what makes an answer negative is none', async () => {
  const agent = new FakeAgent();
  const answers = numbers(8).map((at) => a(questionName, 60, `192.0.2.${at}`));
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers, authorities: numbers(12).map(server) });
  const answer = await agent.answer(query('web.example'));
  assert.deepEqual([answer.answers.length, answer.authorities.length, answer.flags.includes('tc')], [8, 0, false]);
  // The same octets in the place of proofs.
  const proofs = numbers(12).map(() => record(questionName, type.RRSIG, 60, Buffer.alloc(20)));
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers, authorities: proofs });
  assert.ok((await agent.answer(query('signed.example'))).flags.includes('tc'));
  agent.upstream.answer = ({ bytes }) => reply(bytes, { authorities: numbers(16).map(server) });
  assert.ok(
    (await agent.answer(query('referral.example'))).flags.includes('tc'),
    'without an answer they are the answer',
  );
});

test('where the answer itself has no room there is nothing, and TC', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: numbers(20).map(srv), additionals: [address(1)] });
  const octets = await agent.octets(query('web.example', { type: typeSrv }));
  assert.ok(octets.readUInt16BE(2) & flag.tc);
  assert.deepEqual([octets.readUInt16BE(6), octets.readUInt16BE(10)], [0, 0]);
});

test('the room for an OPT record counts', async () => {
  const agent = new FakeAgent();
  // 12 octets of header, 17 of question, 25 × 16 of answers, 33 + 50 of extras: 512.
  const extras = [a('extra.example.com', 60, '192.0.2.1'), record('x.example', 16, 60, Buffer.alloc(29))];
  agent.upstream.answer = ({ bytes }) =>
    reply(bytes, { answers: numbers(25).map((at) => a(questionName, 60, `192.0.2.${at}`)), additionals: extras });
  const whole = await agent.octets(query('web.example'));
  assert.equal(whole.length, 512);
  const answer = await agent.answer(ednsQuery('web.example', { udpSize: 512 }));
  assert.deepEqual([answer.answers.length, answer.additionals.length, answer.flags.includes('tc')], [25, 0, false]);
});
