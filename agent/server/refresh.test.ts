import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { FakeAgent } from '../../test/fake/agent.ts';
import { settle } from '../../test/fake/clock.ts';
import { a, query, questionName, reply } from '../../test/fake/octets.ts';
import type { Entry } from '../cache/entry.ts';
import { ResponseCache } from '../cache/response-cache.ts';
import type { Question } from '../wire/question.ts';

/** An agent with a bug: what it is told to break throws. */
function broken(stored: Map<boolean, Entry>, breaks: { store: boolean }): FakeAgent {
  mock.method(ResponseCache.prototype, 'partition', () => ({
    lookup: (_: Question, ofName: boolean) => stored.get(ofName),
    store: (_: Question, ofName: boolean, entry: Entry) => {
      if (breaks.store) throw new Error('a bug');
      stored.set(ofName, entry);
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
