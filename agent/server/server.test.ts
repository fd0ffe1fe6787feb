import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { parseNodeConfig } from '../../api/v1alpha1/node-config.ts';
import { FakeAgent } from '../../test/fake/agent.ts';
import { FakeClock, settle } from '../../test/fake/clock.ts';
import { buildQuery, readMessage } from '../../test/fake/message.ts';
import { query, read } from '../../test/fake/octets.ts';
import { FakeUpstreams } from '../../test/fake/upstream.ts';
import { Builder } from '../build.ts';
import { ResponseCache } from '../cache/response-cache.ts';
import { Tallies } from '../tallies.ts';
import { origin } from '../wire/edns.ts';
import { ListenerCount, listenerCounts } from './plan.ts';
import { Server } from './server.ts';
import type { QueryLine } from './server-log.ts';

const block = {
  zone: '.',
  queryLogging: 'Log',
  protocol: 'PreferUDP',
  forwardDestination: 'ClusterCoreDNS',
  forwardPolicy: 'Random',
  maxConcurrent: 0,
  cacheDurationInSeconds: 60,
  negativeCacheDurationInSeconds: 30,
  serveStaleDurationInSeconds: 600,
  serveStale: 'Immediate',
};

const linesKept = 3;

function scene(random: () => number) {
  const clock = new FakeClock();
  const upstreams = new FakeUpstreams(clock, (query) => query.answer({ answers: ['www.example 60 A 192.0.2.1'] }));
  const builder = new Builder('node', new ResponseCache(1 << 20), upstreams, clock, new Tallies(() => {}), random);
  const parsed = parseNodeConfig({
    formatVersion: 1,
    clusterDomain: 'cluster.local',
    clusterDNS: { namespace: '', service: '', addresses: [] },
    listeners: [{ name: 'cluster', addresses: ['127.0.0.1'], intercept: false, tracked: false, serverBlocks: [block] }],
    upstreams: [],
  });
  if ('error' in parsed) throw new Error(parsed.error);
  const { plans } = builder.build(parsed.config, { clusterDns: ['192.0.2.1:53', '192.0.2.2:53'], nodeDns: [] });
  const plan = plans.get('cluster');
  if (plan === undefined) throw new Error('no plan');
  const counts = new Float64Array(listenerCounts);
  const exceptions: unknown[] = [];
  const lines: QueryLine[] = [];
  const failures: object[] = [];
  const server = new Server(plan, clock, counts, {
    query: (line) => {
      lines.push(line);
      return lines.length <= linesKept;
    },
    failure: (line) => failures.push(line),
    exceptionOfSearchPath: () => {},
    privateAnswer: () => {},
    exception: (error) => exceptions.push(error),
  });
  const ends: string[] = [];
  const ask = async (name = 'www.example') => {
    const isOver = server.serve(buildQuery({ name }), {
      overTcp: false,
      client: '192.0.2.99',
      send: (message, length) => ends.push(readMessage(Buffer.from(message.subarray(0, length))).rcode),
      drop: () => ends.push('dropped'),
    });
    await settle();
    return isOver;
  };
  return { clock, upstreams, counts, exceptions, lines, failures, ends, ask };
}

test('a bug while a query is forwarded costs that query alone, and is counted and logged', async () => {
  let broken = true;
  const { ask, ends, exceptions, counts, clock } = scene(() => {
    if (broken) throw new Error('a bug');
    return 0;
  });
  await ask();
  deepEqual(ends, ['dropped']);
  broken = false;
  await ask();
  deepEqual(ends, ['dropped', 'NOERROR']);
  // The same behind a stale answer, where no client waits for it.
  broken = true;
  await clock.advance(60_000);
  await ask();
  deepEqual(ends, ['dropped', 'NOERROR', 'NOERROR']);
  equal(exceptions.length, 2);
  equal(counts[ListenerCount.exceptions], 2);
});

test('whoever hands a packet over is told whether something goes on: a question, a refresh behind an answer', async () => {
  const { ask, clock } = scene(() => 0);
  equal(await ask(), false);
  equal(await ask(), true);
  await clock.advance(60_000);
  equal(await ask(), false);
});

test('with queryLogging Log each query is one line: who, how, what, and where the answer came from', async () => {
  const { ask, lines, clock, upstreams } = scene(() => 0);
  upstreams.respond = (query) => clock.after(7, () => query.answer({ answers: ['www.example 60 A 192.0.2.1'] }));
  void ask('WWW.example');
  await clock.advance(10);
  await ask();
  const line = { client: '192.0.2.99', overTcp: false, name: '\x03www\x07example\0', type: 1, rcode: 0 };
  deepEqual(lines, [
    { ...line, origin: origin.forwarded, durationMs: 7 },
    { ...line, origin: origin.cache, durationMs: 0 },
  ]);
});

test('a query whose line is lost is answered all the same, and counted', async () => {
  const { ask, counts, clock, upstreams, ends } = scene(() => 0);
  upstreams.respond = (query) => query.answer({ answers: ['www.example 60 A 192.0.2.1'] });
  for (let query = 0; query < linesKept + 2; query += 1) await ask();
  await clock.advance(10);
  equal(counts[ListenerCount.unlogged], 2);
  deepEqual(new Set(ends), new Set(['NOERROR']));
});

test('failures of a zone are logged once a second, and the line says how many it stands for', async () => {
  const { ask, failures, clock, upstreams } = scene(() => 0);
  upstreams.respond = (query) => query.fail('connection refused');
  for (const name of ['one.example', 'two.example', 'three.example']) await ask(name);
  await clock.advance(1_000);
  await ask('four.example');
  const reason = '192.0.2.2: connection refused';
  deepEqual(failures, [
    { zone: '.', name: 'one.example.', reason, failures: 1 },
    { zone: '.', name: 'four.example.', reason, failures: 3 },
  ]);
});

test('what is refused for one client’s share is asked for another one that comes in the same turn', async () => {
  const agent = new FakeAgent({ root: { maxConcurrent: 4 } });
  for (let name = 0; name < 4; name += 1) agent.ask(query(`held-${name}`), false, '198.51.100.7');
  const refused = agent.ask(query('same'), false, '198.51.100.7');
  const asked = agent.ask(query('same'), false, '198.51.100.8');
  equal(refused.answer && read(refused.answer).rcode, 5);
  equal(asked.answer, undefined);
  equal(agent.upstream.queries.length, 4);
});

test('of those who wait for what another one has asked there are so many, and each client has its share of them', async () => {
  const agent = new FakeAgent();
  const asked = agent.ask(query('same'), false, '198.51.100.1');
  const flood = Array.from({ length: 10_000 }, () => agent.ask(query('same'), false, '198.51.100.2'));
  const others = Array.from({ length: 100 }, (_, pod) => agent.ask(query('same'), false, `198.51.101.${pod}`));
  const refused = flood.filter(({ answer }) => answer !== undefined);
  equal(flood.length - refused.length, 6_144);
  deepEqual(new Set(refused.map(({ answer }) => answer && read(answer).rcode)), new Set([5]));
  agent.upstream.last.answer({ answers: ['same 60 A 192.0.2.7'] });
  for (const { answer } of [asked, ...others]) equal(answer && read(answer).rcode, 0);
  // Who has been answered holds nothing any more.
  agent.ask(query('next'), false, '198.51.100.1');
  const again = Array.from({ length: 6_144 }, () => agent.ask(query('next'), false, '198.51.100.2'));
  equal(again.filter(({ answer }) => answer !== undefined).length, 0);
});

test('a bug in what one client is told costs those who wait with it nothing, and that one has an end, too', () => {
  const agent = new FakeAgent();
  let dropped = 0;
  const send = () => {
    throw new Error('a bug');
  };
  const first = agent.ask(query('same'));
  agent.server.serve(query('same'), { overTcp: false, client: '198.51.100.9', send, drop: () => (dropped += 1) });
  const last = agent.ask(query('same'));
  agent.upstream.last.answer({ answers: ['same 60 A 192.0.2.7'] });
  for (const { answer } of [first, last]) equal(answer && read(answer).rcode, 0);
  deepEqual([dropped, agent.count('exceptions')], [1, 1]);
});
