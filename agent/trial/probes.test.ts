import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../test/fake/agent.ts';
import { settle } from '../../test/fake/clock.ts';
import type { UpstreamQuery } from '../../test/fake/upstream.ts';
import { probeNames } from './probes.ts';

/** An agent whose server answers as `respond` says, asked by its own probes. */
function scene(respond: (query: UpstreamQuery) => void) {
  const agent = Object.assign(new FakeAgent({ root: { serveStale: 'Immediate' } }), { losses: 0 });
  agent.upstream.respond = respond;
  const ask = async (query: Buffer) => {
    agent.losses -= 1;
    if (agent.losses >= 0) throw new Error('no reply over UDP within 2500 ms');
    const asked = agent.ask(Buffer.from(query));
    while (asked.answer === undefined && !asked.dropped) await settle();
    if (asked.answer === undefined) throw new Error('no answer');
    return asked.answer;
  };
  const probe = async (...names: string[]) => {
    const probed = probeNames(names, ask, agent.clock);
    await agent.clock.advance(30_000);
    return probed;
  };
  return { agent, probe };
}

const isV4 = ({ question }: UpstreamQuery) => question.type === 'A';

test('a name is resolved where it has an address of either family', async () => {
  const { agent, probe } = scene((query) =>
    query.answer(isV4(query) ? { rcode: 'SERVFAIL' } : { answers: ['www.example 60 AAAA 2001:db8::1'] }),
  );
  deepEqual(await probe('www.example'), [{ name: 'www.example', ok: true }]);
  deepEqual(agent.upstream.queries.map(({ question }) => question.type).sort(), ['A', 'AAAA']);
});

test('one that is not resolved is told, and why', async () => {
  const answers = [{ rcode: 'SERVFAIL' }, { rcode: 'NXDOMAIN' }, {}] as const;
  const wanted = ['the answer is SERVFAIL', 'the answer is NXDOMAIN', 'it has no address'];
  for (const [at, answer] of answers.entries()) {
    const { probe } = scene((query) => query.answer(isV4(query) ? {} : answer));
    deepEqual(await probe('a.example', 'b.example'), [
      { name: 'a.example', ok: false, message: wanted[at] },
      { name: 'b.example', ok: false, message: wanted[at] },
    ]);
  }
});

test('a lost packet is no failure, silence is', async () => {
  const { agent, probe } = scene((query) => query.answer({ answers: ['www.example 60 A 192.0.2.1'] }));
  const reason = 'no reply over UDP within 2500 ms';
  agent.losses = 10;
  deepEqual(await probe('www.example'), [{ name: 'www.example', ok: true }]);
  agent.losses = 12;
  deepEqual(await probe('www.example'), [{ name: 'www.example', ok: false, message: reason }]);
});

test('an old answer is none, unless a new one comes behind it', async () => {
  const { agent, probe } = scene((query) => query.answer({ answers: ['www.example 1 A 192.0.2.1'] }));
  await probe('www.example');
  await agent.clock.advance(60_000);
  deepEqual(await probe('www.example'), [{ name: 'www.example', ok: true }]);
  agent.upstream.respond = (query) => query.fail();
  await agent.clock.advance(60_000);
  const message = 'only an old answer is known, and no server gives a new one';
  deepEqual(await probe('www.example'), [{ name: 'www.example', ok: false, message }]);
});
