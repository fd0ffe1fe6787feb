/**
 * RFC 6891 §7: "Responders that choose not to implement the protocol extensions defined in this document MUST respond with a return
 * code (RCODE) of FORMERR to messages containing an OPT record in the additional section and MUST NOT include an OPT record in the
 * response." Such a server is asked again without.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, opt, query, questionEnd, questionName, read, reply } from '../../fake/octets.ts';

const formErr = 1;
const notImp = 4;
const hasOpt = (message: Buffer) => message.readUInt16BE(10) === 1;

function serverWithout(rcode: number, root: object = {}): { agent: FakeAgent; asked: () => boolean[] } {
  const agent = new FakeAgent({ root: { cacheDurationInSeconds: 0, ...root } });
  agent.upstream.answer = ({ bytes }) =>
    hasOpt(bytes) ? reply(bytes, { rcode }) : reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  return { agent, asked: () => agent.upstream.queries.splice(0).map(({ bytes }) => hasOpt(bytes)) };
}

for (const [name, rcode] of [
  ['FORMERR', formErr],
  ['NOTIMP', notImp],
] as const) {
  test(`a server that says ${name} is asked again without OPT, and so from then on for ten minutes`, async () => {
    const { agent, asked } = serverWithout(rcode);
    assert.deepEqual((await agent.answer(ednsQuery('a'))).answers, ['a 60 A 192.0.2.7']);
    assert.deepEqual(asked(), [true, false]);
    await agent.answer(query('b'));
    assert.deepEqual(asked(), [false]);
    await agent.clock.advance(600_000);
    await agent.answer(query('c'));
    assert.deepEqual(asked(), [true, false]);
  });
}

test('over TCP as well, where the question ends with its message', async () => {
  const { agent, asked } = serverWithout(formErr, { protocol: 'ForceTCP' });
  assert.equal((await agent.answer(ednsQuery('a'))).rcode, 0);
  const [, plain] = agent.upstream.queries;
  assert.equal(plain?.bytes.length, questionEnd(plain?.bytes ?? Buffer.alloc(0)));
  assert.deepEqual(asked(), [true, false]);
});

test('one that cannot read the question either way has said so, and goes on being asked with OPT', async () => {
  const agent = new FakeAgent({ root: { cacheDurationInSeconds: 0 } });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: formErr });
  assert.equal((await agent.answer(query('a'))).rcode, formErr);
  await agent.answer(query('b'));
  assert.deepEqual(
    agent.upstream.queries.map(({ bytes }) => hasOpt(bytes)),
    [true, false, true, false],
  );
});

test('a FORMERR with OPT is about something else, and no reason to ask again', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: formErr, additionals: [opt({})] });
  assert.equal((await agent.answer(query('a'))).rcode, formErr);
  assert.equal(agent.upstream.queries.length, 1);
});

test('one that drops what has OPT is asked without in the end; where that is so again, it knows none', async () => {
  const agent = new FakeAgent({ root: { cacheDurationInSeconds: 0 } });
  agent.upstream.answer = ({ bytes }) =>
    hasOpt(bytes) ? undefined : reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  const ask = async (name: string, afterMs: number) => {
    const asked = agent.ask(query(name));
    await agent.clock.advance(afterMs);
    assert.equal(asked.answer && read(asked.answer).rcode, 0, name);
    return agent.upstream.queries.splice(0).map(({ bytes }) => hasOpt(bytes));
  };
  assert.deepEqual(await ask('a', 1_000), [true, true, false]);
  // Lost packets would look the same: the next one is tried with it again.
  assert.equal((await ask('b', 1_000)).at(-1), false);
  assert.deepEqual(await ask('c', 0), [false]);
});

test('an answer with OPT in between says that packets were lost', async () => {
  const agent = new FakeAgent({ root: { cacheDurationInSeconds: 0 } });
  let drops = true;
  agent.upstream.answer = ({ bytes }) =>
    drops && hasOpt(bytes) ? undefined : reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  for (const name of ['a', 'b', 'c']) {
    drops = true;
    agent.ask(query(name));
    await agent.clock.advance(1_000);
    drops = false;
    agent.upstream.queries.length = 0;
    await agent.answer(query(`${name}.again`));
    assert.deepEqual(
      agent.upstream.queries.map(({ bytes }) => hasOpt(bytes)),
      [true],
      name,
    );
  }
});
