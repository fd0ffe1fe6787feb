import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../test/fake/agent.ts';
import { FakeClock, settle } from '../../test/fake/clock.ts';
import { a, ednsQuery, flag, query, questionName, read, reply } from '../../test/fake/octets.ts';
import { askOf } from '../../test/fake/receiver.ts';
import { Budget } from './budget.ts';
import type { Transport } from './transport.ts';
import { Upstream, UpstreamCount, upstreamCounts } from './upstream.ts';

test('a burst at once, and then as many as the rate allows; what was not used is not saved up beyond the burst', async () => {
  const clock = new FakeClock();
  const budget = new Budget('vpc', { perSecond: 10, burst: 3 }, clock);
  const taken = () => [1, 2, 3, 4].filter(() => budget.take('')).length;
  equal(taken(), 3);
  // One is kept for who comes anew.
  await clock.advance(100);
  equal(taken(), 0);
  await clock.advance(100);
  equal(taken(), 1);
  await clock.advance(250);
  equal(taken(), 2);
  await clock.advance(100);
  equal(taken(), 1);
  await clock.advance(60_000);
  equal(taken(), 3);
  match(budget.exceeded, /the budget of vpc, 10 queries a second/);
});

function agentWith(root: object): FakeAgent {
  const agent = new FakeAgent({
    root: { forwardDestination: 'vpc', ...root },
    blocks: [{ zone: 'example', forwardDestination: 'vpc' }],
    upstreams: [
      { name: 'vpc', servers: ['192.0.2.53:53', '192.0.2.54:53'], queryBudget: { perSecond: 4, burst: 2 } },
      { name: 'other', servers: ['192.0.2.53:53'] },
    ],
  });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 10, '192.0.2.7')] });
  return agent;
}

test('all zones and servers of an upstream share its budget; over it nothing is sent, SERVFAIL says why and is not remembered', async () => {
  const agent = agentWith({});
  await agent.answer(query('a.net'));
  await agent.answer(query('b.example'));
  const octets = await agent.octets(ednsQuery('c.example'));
  const { rcode, extendedError } = read(octets);
  deepEqual({ rcode, extendedError }, { rcode: 2, extendedError: 0 });
  match(octets.toString('latin1'), /queryBudget/);
  equal(agent.upstream.queries.length, 2);
  await agent.clock.advance(500);
  equal((await agent.answer(query('c.example'))).rcode, 0);
});

/** The first query of it uses up the budget, which has one more after five seconds. */
function agentOfOneQuery(root: object = {}): FakeAgent {
  return new FakeAgent({
    root: { forwardDestination: 'vpc', ...root },
    upstreams: [
      { name: 'vpc', servers: ['192.0.2.53:53', '192.0.2.54:53'], queryBudget: { perSecond: 0.2, burst: 1 } },
    ],
  });
}

async function extendedErrors(agent: FakeAgent, endsAfterMs: number): Promise<unknown[]> {
  const first = agent.ask(ednsQuery('a.net'));
  await agent.clock.advance(endsAfterMs);
  const second = agent.ask(ednsQuery('a.net'));
  await settle();
  return [first, second].map(({ answer }) => answer && read(answer).extendedError);
}

test('a server is silent, and no other may be asked within the budget: that is a failure of servers, and remembered', async () => {
  const agent = agentOfOneQuery();
  deepEqual(await extendedErrors(agent, 2_000), [22, 13]);
  equal(agent.upstream.queries.length, 1);
});

test('a server breaks off, and no other may be asked within the budget: that is told and remembered', async () => {
  const agent = agentOfOneQuery();
  agent.upstream.respond = ({ fail }) => fail();
  deepEqual(await extendedErrors(agent, 0), [23, 13]);
  equal(agent.upstream.queries.length, 1);
});

test('an answer that was cut off and may not be asked for over TCP is no failure of servers', async () => {
  const agent = agentOfOneQuery();
  agent.upstream.respond = ({ bytes, send }) => send(reply(bytes, { flags: flag.tc }));
  deepEqual(await extendedErrors(agent, 0), [0, 0]);
  agent.upstream.respond = ({ bytes, send }) => send(reply(bytes));
  await agent.clock.advance(5_000);
  equal((await agent.answer(query('a.net'))).rcode, 0);
});

test('a refresh that is unanswered waits for its next try, however little of the budget is left for it', async () => {
  const agent = agentOfOneQuery({ serveStale: 'Immediate', serveStaleDurationInSeconds: 3600 });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 10, '192.0.2.7')] });
  await agent.answer(query('a.net'));
  const answer = agent.upstream.answer;
  agent.upstream.answer = () => undefined;
  await agent.clock.advance(10_000);
  await agent.answer(query('a.net'));
  await agent.clock.advance(2_000);
  agent.upstream.answer = answer;
  // The probe, which finds it up.
  await agent.clock.advance(1_000);
  const before = agent.upstream.queries.length;
  for (let seconds = 0; seconds < 28; seconds += 2) {
    await agent.answer(query('a.net'));
    await agent.clock.advance(2_000);
  }
  equal(agent.upstream.queries.length, before);
  await agent.clock.advance(1_000);
  await agent.answer(query('a.net'));
  equal(agent.upstream.queries.length, before + 1);
});

test('over the budget an expired answer serves, and no server counts as down for it', async () => {
  const agent = agentWith({ serveStale: 'Verify', serveStaleDurationInSeconds: 3600 });
  await agent.answer(query('a.net'));
  await agent.clock.advance(10_000);
  await agent.answer(query('b.net'));
  await agent.answer(query('c.net'));
  const { rcode, extendedError } = await agent.answer(ednsQuery('a.net'));
  deepEqual({ rcode, extendedError }, { rcode: 0, extendedError: 3 });
  await agent.clock.advance(2_000);
  await agent.answer(query('d.net'));
  deepEqual(
    agent.upstream.queries.map(({ server }) => server),
    Array(4).fill('192.0.2.53:53'),
  );
});

test('a configuration that leaves the budget as it is does not fill it up', async () => {
  const agent = agentWith({});
  await agent.answer(query('a.net'));
  await agent.answer(query('b.net'));
  agent.apply({});
  equal((await agent.answer(query('c.net'))).rcode, 2);
});

test('what a connection is lost under, or holds up, is sent again within the budget alone, and counted', async () => {
  const clock = new FakeClock();
  const budget = new Budget('vpc', { perSecond: 1, burst: 2 }, clock);
  const counts = new Float64Array(upstreamCounts);
  const repeats: boolean[] = [];
  const transport: Transport = {
    ask: (_server, _overTcp, message, _timeoutMs, asker) => {
      repeats.push(asker.mayRepeat(), asker.mayRepeat());
      asker.answered(message);
    },
    close: () => {},
  };
  const upstream = new Upstream({ address: '192.0.2.1', port: 53 }, true, transport, clock, counts, budget);
  await askOf(upstream, query('a.net'), 2_000);
  deepEqual(repeats, [true, false]);
  deepEqual([counts[UpstreamCount.tcpQueries], counts[UpstreamCount.overBudget]], [2, 1]);
});

for (const [everyMs, flood] of [
  [50, 850],
  [900, 950],
  [5_000, 950],
] as const) {
  test(`the flood of one client takes what the others leave: who asks every ${everyMs} ms is served`, async () => {
    const clock = new FakeClock();
    const budget = new Budget('vpc', { perSecond: 100, burst: 100 }, clock);
    const taken = { flood: 0, victim: 0 };
    const asked = 10_000 / everyMs;
    for (let ms = 1; ms <= 10_000; ms += 1) {
      await clock.advance(1);
      for (let times = 0; times < 3; times += 1) if (budget.take('flood')) taken.flood += 1;
      if (ms % everyMs === 0 && budget.take('victim')) taken.victim += 1;
    }
    // In ten seconds there are 1,000 and the burst.
    equal(taken.victim, Math.floor(asked));
    ok(taken.flood >= flood - 50 && taken.flood + taken.victim <= 1_100, JSON.stringify(taken));
  });
}

test('who asks for less than an equal part of the rate is served, beside the flood of another', async () => {
  const clock = new FakeClock();
  const budget = new Budget('vpc', { perSecond: 100, burst: 40 }, clock);
  let refusals = 0;
  for (let ms = 0; ms < 10_000; ms += 2) {
    await clock.advance(2);
    budget.take('flood');
    if (ms % 22 === 0 && !budget.take('pod')) refusals += 1;
  }
  equal(refusals, 0);
});

test('of clients that all want more than there is each gets as much; one that is alone gets all', async () => {
  const clock = new FakeClock();
  const budget = new Budget('vpc', { perSecond: 100, burst: 4 }, clock);
  const taken = [0, 0, 0, 0];
  const play = async (clients: number, forMs: number) => {
    taken.fill(0);
    for (let ms = 0; ms < forMs; ms += 1) {
      await clock.advance(1);
      for (let client = 0; client < clients; client += 1) {
        if (budget.take(String((client + ms) % clients)))
          taken[(client + ms) % clients] = (taken[(client + ms) % clients] ?? 0) + 1;
      }
    }
    return [...taken];
  };
  for (const count of await play(4, 4_000)) ok(count >= 75 && count <= 125, `${taken}`);
  // The others are forgotten a second after their last query.
  await play(1, 1_100);
  ok(((await play(1, 1_000))[0] ?? 0) >= 99, `${taken}`);
  await clock.advance(2_000);
  equal([1, 2, 3, 4, 5].filter(() => budget.take('0')).length, 4);
});

test('a burst of one gives who is alone all of the rate', () => {
  const clock = new FakeClock();
  const budget = new Budget('vpc', { perSecond: 10, burst: 1 }, clock);
  let taken = 0;
  for (let ms = 0; ms < 10_000; ms += 1) {
    if (budget.take('alone')) taken += 1;
    clock.pause(1);
  }
  equal(taken, 100);
});

test('clients are told apart up to a bound', async () => {
  const clock = new FakeClock();
  const budget = new Budget('vpc', { perSecond: 1_000_000, burst: 1_000_000 }, clock);
  for (let client = 0; client < 5_000; client += 1) ok(budget.take(`192.0.2.${client}`));
  ok(budget.clients <= 1_024, `${budget.clients}`);
});

for (const [perSecond, burst] of [
  [10, 1],
  [20, 2],
  [30, 3],
  [40, 4],
] as const) {
  test(`a burst of ${burst} leaves room for who asks now and then, beside a flood`, () => {
    const clock = new FakeClock();
    const budget = new Budget('vpc', { perSecond, burst }, clock);
    let taken = 0;
    const asked = 20;
    for (let ms = 0; ms < asked * 997; ms += 1) {
      for (let times = 0; times < 2; times += 1) budget.take('flood');
      if (ms % 997 === 500 && budget.take('now and then')) taken += 1;
      clock.pause(1);
    }
    ok(taken >= (burst === 1 ? asked / 4 : asked), `${taken} of ${asked}`);
  });
}
