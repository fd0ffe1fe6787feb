import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { FakeAgent } from '../../test/fake/agent.ts';
import { entryFor, questionFor } from '../../test/fake/cache-entry.ts';
import { settle } from '../../test/fake/clock.ts';
import { a, query, questionName, read, reply } from '../../test/fake/octets.ts';
import { Entry } from '../cache/entry.ts';
import { ResponseCache } from '../cache/response-cache.ts';
import type { Question } from '../wire/question.ts';

/** An agent with a bug: what it is told to break throws. */
function broken(stored: Map<boolean, Entry>, breaks: { store: boolean }): FakeAgent {
  mock.method(ResponseCache.prototype, 'partition', () => ({
    lookup: (_: Question, ofName: boolean) => stored.get(ofName),
    store: (_: Question, ofName: boolean, entry: Entry) => {
      if (breaks.store) throw new Error('a bug');
      stored.set(ofName, entry.copy());
    },
    drop: () => {},
  }));
  const agent = new FakeAgent({ root: { serveStale: 'Immediate', serveStaleDurationInSeconds: 3600 } });
  mock.restoreAll();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  return agent;
}

test('a bug in the refresh behind a stale answer is counted, and the stale answer served', async () => {
  const breaks = { store: false };
  const agent = broken(new Map(), breaks);
  await agent.octets(query('a'));
  await agent.clock.advance(60_000);
  breaks.store = true;
  assert.deepEqual((await agent.answer(query('a'))).answers, ['a 30 A 192.0.2.7']);
  await settle();
  assert.equal(agent.count('exceptions'), 1);
});

const firstLabel = (message: Buffer) => message.toString('latin1', 13, 13 + (message[12] ?? 0));

test('a client that waits has its stale answer, and nobody else’s, though another one has been given its place meanwhile', async () => {
  const agent = new FakeAgent({ root: { serveStale: 'Verify' }, cacheBytes: entryFor('a').size });
  let silentAbout = '';
  agent.upstream.answer = ({ bytes }) => {
    const name = firstLabel(bytes);
    if (name === silentAbout) return undefined;
    return reply(bytes, { answers: [a(questionName, name === 'a' ? 60 : 1, `192.0.2.${name === 'a' ? 7 : 8}`)] });
  };
  await agent.octets(query('a'));
  await agent.clock.advance(60_000);
  silentAbout = 'a';
  const waiting = agent.ask(query('a'));
  await agent.octets(query('b'));
  await agent.clock.advance(1_800);
  assert.deepEqual(read(waiting.answer ?? Buffer.alloc(0)).answers, ['a 30 A 192.0.2.7']);
  await agent.clock.advance(200);
  // What failed is the refresh of an answer that is gone: the one in its place can be refreshed.
  assert.equal(agent.cache.peek('\0\0', questionFor('b'))?.refreshAfterMs, 0);
});

test('all who wait for the servers while an expired answer stands by share one copy of it', async () => {
  const agent = new FakeAgent({ root: { serveStale: 'Verify' } });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  await agent.octets(query('a'));
  await agent.clock.advance(60_000);
  agent.upstream.answer = () => undefined;
  const copies = mock.method(Entry.prototype, 'copy');
  const waiting = Array.from({ length: 100 }, () => agent.ask(query('a')));
  const refused = Array.from({ length: 9_000 }, () => agent.ask(query('a')));
  assert.equal(copies.mock.callCount(), 1);
  copies.mock.restore();
  assert.deepEqual(read(refused.at(-1)?.answer ?? Buffer.alloc(0)).answers, ['a 30 A 192.0.2.7']);
  await agent.clock.advance(1_800);
  for (const { answer } of waiting) assert.deepEqual(read(answer ?? Buffer.alloc(0)).answers, ['a 30 A 192.0.2.7']);
});

test('who waits has the expired answer that stood there when it asked, though others wait for the same with an older one', async () => {
  const agent = new FakeAgent({ root: { serveStale: 'Verify' } });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  await agent.octets(query('a'));
  const partition = agent.cache.partition('\0\0');
  const asked = questionFor('a');
  const fresher = (partition.lookup(asked, false) as Entry).copy();
  await agent.clock.advance(60_000);
  agent.upstream.answer = () => undefined;
  const first = agent.ask(query('a'));
  // Another way led to the same answer meanwhile: it is another one in the cache.
  fresher.cells.octets[fresher.cells.octets.indexOf(Buffer.of(192, 0, 2, 7)) + 3] = 8;
  partition.store(asked, false, fresher);
  const second = agent.ask(query('a'));
  await agent.clock.advance(1_800);
  const answers = [first, second].map(({ answer }) => read(answer ?? Buffer.alloc(0)).answers);
  assert.deepEqual(answers, [['a 30 A 192.0.2.7'], ['a 30 A 192.0.2.8']]);
});
