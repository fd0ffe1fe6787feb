/** RFC 5001 §2.1, §2.2: who "has explicitly requested it" is told which server answered; the option "is not transitive". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { readMessage } from '../../fake/message.ts';
import { a, ednsQuery, opt, query, questionEnd, questionName, reply, txt, type } from '../../fake/octets.ts';

const nsid = 3;
const asking = { options: [{ code: nsid, data: Buffer.alloc(0) }] };

/** What the answer says in the option, undefined where it has none. */
const told = (answer: Buffer) =>
  readMessage(answer)
    .edns?.options.find(({ code }) => code === nsid)
    ?.data.toString();

async function served(): Promise<FakeAgent> {
  const agent = new FakeAgent({ root: { serveStale: 'Immediate' } });
  agent.upstream.answer = ({ bytes, fail }) => {
    if (bytes.includes('bad')) fail();
    return reply(bytes, {
      answers: [a(questionName, 60, '192.0.2.7')],
      additionals: [opt({ options: [{ code: nsid, data: Buffer.from('the upstream') }] })],
    });
  };
  return agent;
}

test('answers of every origin name node and listener, as id.server does, and only where that was asked', async () => {
  const agent = await served();
  const identity = await agent.answer(query('id.server', { class: 3, type: type.TXT }));
  assert.deepEqual(identity.answers, ['id.server 0 TXT node-1/node']);
  for (const [what, name, sections] of [
    ['forwarded', 'a', {}],
    ['cached', 'a', {}],
    ['stale', 'a', {}],
    ['failed', 'bad', {}],
    ['remembered failure', 'bad', {}],
    ['local', 'localhost', {}],
    ['id.server', 'id.server', { class: 3, type: type.TXT }],
    ['refused', 'a.bind', { class: 3, type: type.TXT }],
    ['not implemented', 'a', { type: 252 }],
  ] as const) {
    if (what === 'stale') await agent.clock.advance(60_000);
    assert.equal(told(await agent.octets(ednsQuery(name, asking, sections))), 'node-1/node', what);
    assert.equal(told(await agent.octets(ednsQuery(name, {}, sections))), undefined, `${what}, not asked`);
    assert.equal((await agent.octets(query(name, sections))).readUInt16BE(10), 0, `${what}, without EDNS`);
  }
});

test('the option does not go to the server', async () => {
  const agent = await served();
  await agent.octets(ednsQuery('a', asking));
  const { bytes } = agent.upstream.last;
  assert.equal(bytes.length, questionEnd(bytes) + 11);
});

test('who waits for the answer to an equal question is told by what it asked itself', async () => {
  const agent = await served();
  const answer = agent.upstream.answer;
  agent.upstream.answer = () => undefined;
  const asked = [{}, asking].map((edns) => agent.ask(ednsQuery('a', edns)));
  agent.upstream.last.send(answer(agent.upstream.last) as Buffer);
  await agent.clock.advance(0);
  assert.deepEqual(
    asked.map(({ answer }) => answer && told(answer)),
    [undefined, 'node-1/node'],
  );
});

test('it makes no answer too long for the client: where it does not fit it is left out, and where it just fits it is there', async () => {
  const agent = new FakeAgent();
  /** Header 12, question 7, TXT record 12 + two lengths, OPT 11, the option 4 + 11. */
  const ofSize = (size: number) => [txt(questionName, 60, 'x'.repeat(200), 'x'.repeat(size - 12 - 7 - 12 - 202))];
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: ofSize(bytes[13] === 0x61 ? 486 : 487) });
  const fits = await agent.octets(ednsQuery('a', { ...asking, udpSize: 512 }, { type: type.TXT }));
  assert.deepEqual([fits.length, told(fits)], [512, 'node-1/node']);
  const tight = await agent.octets(ednsQuery('b', { ...asking, udpSize: 512 }, { type: type.TXT }));
  assert.deepEqual([tight.length, told(tight)], [498, undefined]);
});
