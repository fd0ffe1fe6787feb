import { deepEqual, equal, fail, notEqual, throws } from 'node:assert/strict';
import { test } from 'node:test';
import type { ServerBlockConfig } from '../api/v1alpha1/node-config.ts';
import { FakeClock, settle } from '../test/fake/clock.ts';
import { buildQuery } from '../test/fake/message.ts';
import { sampleBlock, sampleConfig } from '../test/fake/node-config.ts';
import { FakeUpstreams } from '../test/fake/upstream.ts';
import { Builder, type Plans } from './build.ts';
import { ResponseCache } from './cache/response-cache.ts';
import { byRendezvous } from './forward/rendezvous.ts';
import { listenerCounts, ZoneCount } from './server/plan.ts';
import { Server } from './server/server.ts';
import { Tallies, type TallyNotice } from './tallies.ts';

const block = (zone: string, fields: Partial<ServerBlockConfig> = {}) => sampleBlock({ zone, ...fields });
const config = (...serverBlocks: ServerBlockConfig[]) =>
  sampleConfig({
    listeners: [{ name: 'cluster', addresses: ['127.0.0.1'], intercept: false, tracked: false, serverBlocks }],
  });

function scene() {
  const clock = new FakeClock();
  const upstreams = new FakeUpstreams(clock, (query) =>
    query.answer({ answers: [`${query.question.name} 60 A 192.0.2.1`] }),
  );
  const cache = new ResponseCache(1 << 20);
  const notices: TallyNotice[] = [];
  const builder = new Builder('node', cache, upstreams, clock, new Tallies((notice) => notices.push(notice)));
  const destinations = { clusterDns: ['192.0.2.1:53'], nodeDns: [] };
  const ask = async (plans: Plans, name: string) => {
    const plan = plans.get('cluster');
    if (plan === undefined) throw new Error('no plan');
    const log = {
      query: () => true,
      failure() {},
      exceptionOfSearchPath() {},
      privateAnswer() {},
      exception: (error: unknown) => {
        throw error;
      },
    };
    new Server(plan, clock, new Float64Array(listenerCounts), log).serve(buildQuery({ name }), {
      overTcp: false,
      client: '',
      send() {},
      drop() {},
    });
    await settle();
  };
  return { clock, builder, upstreams, cache, notices, destinations, ask };
}

test('what a block that is gone had cached gives its memory back, once the new configuration is in force', async () => {
  const { builder, cache, destinations, ask } = scene();
  const old = builder.build(config(block('.'), block('corp.example')), destinations);
  old.commit();
  await ask(old.plans, 'www.example');
  await ask(old.plans, 'www.corp.example');
  equal(cache.size, 2);
  const next = builder.build(config(block('.')), destinations);
  equal(cache.size, 2, 'it may yet be refused');
  next.commit();
  equal(cache.size, 1);
});

test('of the endpoints of cluster DNS each node has an order of its own, of other servers the one that is written', async () => {
  const { builder, upstreams, ask } = scene();
  const servers = [1, 2, 3, 4, 5, 6].map((host) => `192.0.2.${host}:53`);
  const uncached = { cacheDurationInSeconds: 0 };
  const blocks = [block('.', uncached), block('example', { ...uncached, forwardDestination: 'VnetDNS' })];
  const { plans } = builder.build(config(...blocks), { clusterDns: servers, nodeDns: servers });
  await ask(plans, 'www.test');
  await ask(plans, 'www.example');
  const [first] = byRendezvous('node', servers);
  notEqual(first, servers[0]);
  deepEqual(
    upstreams.queries.map(({ server }) => server),
    [first, servers[0]],
  );
});

test('a query that is refused for its client’s share is counted as such', async () => {
  const { builder, notices, ask, upstreams, destinations } = scene();
  upstreams.respond = () => {};
  const { plans } = builder.build(config(block('.', { maxConcurrent: 4 })), destinations);
  for (const name of ['a', 'b', 'c', 'd', 'e']) await ask(plans, `${name}.example`);
  const zone = notices.find(({ kind }) => kind === 'zone');
  const counts = new Float64Array(zone?.buffer ?? new SharedArrayBuffer(0));
  deepEqual([counts[ZoneCount.refused], counts[ZoneCount.overShare]], [2, 2]);
});

test('a server that is asked in two ways is counted and watched for each', () => {
  const { builder, notices, destinations } = scene();
  builder.build(
    config(block('.'), block('cluster.local', { protocol: 'ForceTCP' }), block('corp.example')),
    destinations,
  );
  deepEqual(
    notices.filter(({ kind }) => kind === 'upstream').map(({ labels }) => labels),
    [
      { upstream: '192.0.2.1:53', transport: 'udp' },
      { upstream: '192.0.2.1:53', transport: 'tcp' },
    ],
  );
});

test('a server with TLS is asked over it alone, whatever the block prefers, and another name is another server', async () => {
  const { clock, builder, upstreams, cache, notices, destinations, ask } = scene();
  const asked = (serverName: string, protocol: ServerBlockConfig['protocol']) => ({
    ...config(block('.', { protocol, forwardDestination: 'onprem' })),
    upstreams: [{ name: 'onprem', servers: ['192.0.2.9:853'], tls: { serverName } }],
  });
  upstreams.respond = (query) => query.fail();
  for (const protocol of ['PreferUDP', 'PreferTCP', 'ForceTCP'] as const) {
    await ask(builder.build(asked('dns.example', protocol), destinations).plans, `${protocol}.example`);
  }
  deepEqual(
    upstreams.queries.map(({ overTcp, tls }) => [overTcp, tls?.serverName]),
    Array(3).fill([true, 'dns.example']),
  );
  deepEqual(
    notices.filter(({ kind }) => kind === 'upstream').map(({ labels }) => labels.transport),
    ['tls'],
  );
  upstreams.queries.length = 0;
  upstreams.respond = () => {};
  await ask(builder.build(asked('silent.example', 'PreferTCP'), destinations).plans, 'silent.example');
  await clock.advance(2_000);
  equal(upstreams.queries.filter(({ question }) => question.name === 'silent.example').length, 1, 'once, in one way');
  upstreams.respond = (query) => query.answer({ answers: [`${query.question.name} 60 A 192.0.2.1`] });
  for (const name of ['dns.other.example', 'dns.third.example']) {
    const { plans, commit } = builder.build(asked(name, 'PreferUDP'), destinations);
    commit();
    equal(cache.size, 0, 'what another server said is not what this one says');
    await ask(plans, 'www.example');
    equal(upstreams.queries.at(-1)?.tls?.serverName, name);
    equal(cache.size, 1);
  }
});

test('a configuration may name the budget of the cache, and whether popular answers are asked for before they end', async () => {
  const { clock, builder, upstreams, cache, destinations, ask } = scene();
  const usual = cache.maxBytes;
  for (const [given, bytes, asked] of [
    [{ maxBytes: 4096, prefetch: false, warmRestart: true }, 4096, 1],
    [undefined, usual, 2],
  ] as const) {
    const { plans, commit } = builder.build({ ...config(block('.')), ...(given && { cache: given }) }, destinations);
    equal(cache.maxBytes, asked === 1 ? usual : 4096, 'it may yet be refused');
    commit();
    equal(cache.maxBytes, bytes);
    upstreams.queries.length = 0;
    await ask(plans, `${asked}.example`);
    await clock.advance(59_000);
    for (const _ of [1, 2, 3, 4]) await ask(plans, `${asked}.example`);
    equal(upstreams.queries.length, asked);
  }
});

test('what is in flight is counted until it ends, whatever configuration it was asked under', async () => {
  const { clock, builder, upstreams, notices, destinations, ask } = scene();
  upstreams.respond = () => {};
  const gauge = () => {
    const tally = notices.find(({ kind }) => kind === 'zone')?.buffer ?? fail();
    return new Float64Array(tally)[ZoneCount.inFlight];
  };
  const under = async (fields: Partial<ServerBlockConfig>, name: string) => {
    const { plans, commit } = builder.build(config(block('.', fields)), destinations);
    commit();
    await ask(plans, name);
    return gauge();
  };
  equal(await under({}, 'one.example'), 1);
  equal(await under({ queryLogging: 'Log' }, 'two.example'), 2);
  equal(await under({ forwardDestination: 'VnetDNS' }, 'nobody.example'), 2);
  equal(await under({}, 'three.example'), 3);
  upstreams.queries[0]?.answer();
  await settle();
  equal(gauge(), 2);
  await clock.advance(2_000);
  equal(gauge(), 0);
});

test('a bound of what is in flight is that of the configuration in force, not of one that may yet be refused', async () => {
  const { builder, upstreams, destinations, ask } = scene();
  upstreams.respond = () => {};
  const first = builder.build(config(block('.', { maxConcurrent: 1 })), destinations);
  first.commit();
  await ask(first.plans, 'one.example');
  const second = builder.build(config(block('.', { maxConcurrent: 2 })), destinations);
  await ask(first.plans, 'two.example');
  equal(upstreams.queries.length, 1);
  second.commit();
  await ask(second.plans, 'two.example');
  equal(upstreams.queries.length, 2);
});

test('a configuration without a root zone, or with a server that is no address, cannot be built', () => {
  const { builder, destinations } = scene();
  throws(() => builder.build(config(block('corp.example')), destinations), /root zone/);
  throws(
    () => builder.build(config(block('.')), { ...destinations, clusterDns: ['dns.example:53'] }),
    /dns\.example:53/,
  );
});
