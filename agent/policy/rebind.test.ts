/** Protection from rebinding, through a whole serving half. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import { FakeAgent } from '../../test/fake/agent.ts';
import {
  a,
  cname,
  ednsQuery,
  encodeName,
  query,
  questionName,
  type Reading,
  record,
  reply,
  type,
  u16,
} from '../../test/fake/octets.ts';
import { addressOctets } from '../wire/address.ts';

type Rebind = NonNullable<NodeConfig['rebind']>;
const enforce: Rebind = { mode: 'Enforce', allowedDomains: [], allowLoopback: true, extraPrefixes: [] };

interface Told {
  rebind?: Partial<Rebind> | undefined;
  answers?: Buffer[];
  additionals?: Buffer[];
  blocks?: { zone: string; forwardDestination?: string }[];
  upstreams?: NodeConfig['upstreams'];
}

/** A server that says the same whatever it is asked: 10.0.0.7, if nothing else. */
function agentWith({ rebind = {}, answers = [a(questionName, 60, '10.0.0.7')], additionals, ...more }: Told = {}) {
  const local = { rebind: { ...enforce, ...rebind } };
  const agent = new FakeAgent({ ...more, local, root: { serveStale: 'Immediate' } });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers, ...(additionals && { additionals }) });
  return agent;
}

const aaaa = (address: string) => record(questionName, type.AAAA, 60, addressOctets(address));
const isBlocked = ({ rcode, answers, extendedError }: Reading) =>
  rcode === 0 && answers.length === 0 && extendedError === 15;

test('a public name that leads to a private address leads nowhere, and the answer says that it is blocked', async () => {
  const agent = agentWith();
  const answer = await agent.answer(ednsQuery('evil.example'));
  assert.ok(isBlocked(answer), JSON.stringify(answer));
  assert.deepEqual(agent.privateAnswers, ['evil.example. 10.0.0.7']);
});

for (const [title, told] of [
  ['among public addresses', { answers: [a(questionName, 60, '192.0.2.7'), a(questionName, 60, '10.0.0.7')] }],
  ['of an alias', { answers: [cname('evil.example', 60, 'x.cluster.local'), a('x.cluster.local', 60, '10.0.0.7')] }],
  ['of IPv6', { answers: [aaaa('fd00::7')] }],
  ['mapped to IPv6', { answers: [aaaa('::ffff:192.168.0.1')] }],
  ['behind NAT64', { answers: [aaaa('64:ff9b::10.0.0.1')] }],
  [
    'that comes along with others',
    { answers: [a('b.example', 60, '192.0.2.7')], additionals: [a('c.example', 60, '10.0.0.7')] },
  ],
  [
    'that is named as private',
    { rebind: { extraPrefixes: ['192.0.2.0/24'] }, answers: [a(questionName, 60, '192.0.2.7')] },
  ],
  [
    'of loopback, where that is not allowed',
    { rebind: { allowLoopback: false }, answers: [a(questionName, 60, '127.0.0.1')] },
  ],
] as const satisfies readonly (readonly [string, Told])[]) {
  test(`so does one with a private address ${title}`, async () => {
    assert.ok(isBlocked(await agentWith(told).answer(ednsQuery('evil.example'))));
  });
}

test('hints of services are addresses, too (RFC 9460 §7.3)', async () => {
  const hint = (key: number, address: string) => {
    const octets = addressOctets(address);
    return Buffer.concat([u16(key, octets.length), octets]);
  };
  const https = 65;
  const service = (...parameters: Buffer[]) =>
    record(
      questionName,
      https,
      60,
      Buffer.concat([u16(1), encodeName('.'), u16(1, 3), Buffer.from('\x02h2'), ...parameters]),
    );
  for (const [parameters, blocked] of [
    [[hint(4, '10.0.0.7')], true],
    [[hint(4, '192.0.2.7'), hint(6, 'fd00::1')], true],
    [[hint(4, '192.0.2.7'), hint(6, '2001:db8::1')], false],
    [[hint(5, '10.0.0.7')], false],
    // Cut off, and one that says that it is longer than the record.
    [[hint(4, '10.0.0.7').subarray(0, 6)], false],
    [[u16(9, 60_000), hint(4, '10.0.0.7')], false],
  ] as const) {
    const agent = agentWith({ answers: [service(...parameters)] });
    assert.equal(isBlocked(await agent.answer(ednsQuery('evil.example', {}, { type: https }))), blocked);
  }
});

test('public addresses, loopback where it is allowed, and what only looks like an address pass', async () => {
  for (const only of [
    a(questionName, 60, '192.0.2.7'),
    a(questionName, 60, '127.0.0.1'),
    aaaa('2001:db8::7'),
    record(questionName, type.TXT, 60, Buffer.of(10, 0, 0, 7)),
    record(questionName, type.A, 60, Buffer.of(10, 0, 0)),
  ]) {
    const octets = await agentWith({ answers: [only] }).octets(ednsQuery('www.example'));
    assert.equal(octets.readUInt16BE(6), 1, 'one record');
  }
});

test('names that may lead anywhere: allowed domains, the cluster’s, nobody’s, and zones with a server of their own', async () => {
  const agent = agentWith({
    rebind: { allowedDomains: ['amazonaws.com'] },
    blocks: [
      { zone: 'cluster.local' },
      { zone: 'corp.example', forwardDestination: 'onprem' },
      { zone: 'usual.example', forwardDestination: 'VnetDNS' },
    ],
    upstreams: [{ name: 'onprem', servers: ['192.0.2.9:53'] }],
  });
  for (const name of ['ecr.eu.amazonaws.com', 'a.b.svc.cluster.local', 'ip-10-0-0-7.ec2.internal', 'db.corp.example']) {
    assert.equal((await agent.answer(ednsQuery(name))).answers.length, 1, name);
  }
  for (const name of ['a.usual.example', 'notamazonaws.com', 'corp.example.net']) {
    assert.ok(isBlocked(await agent.answer(ednsQuery(name))), name);
  }
});

test('the cluster’s domain may lead anywhere whatever it is called', async () => {
  const agent = agentWith({ blocks: [{ zone: 'k8s.example' }] });
  agent.apply({ rebind: enforce, clusterDomain: 'k8s.example' });
  assert.equal((await agent.answer(ednsQuery('a.b.svc.k8s.example'))).answers.length, 1);
});

test('a zone that is sent where all others are is no zone of its own', async () => {
  const agent = new FakeAgent({
    root: { forwardDestination: 'filter' },
    blocks: [{ zone: 'example', forwardDestination: 'filter', cacheDurationInSeconds: 5 }],
    upstreams: [{ name: 'filter', servers: ['192.0.2.9:53'] }],
    local: { rebind: enforce },
  });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '10.0.0.7')] });
  assert.ok(isBlocked(await agent.answer(ednsQuery('evil.example'))));
});

test('what is answered on the node itself may lead anywhere', async () => {
  const agent = agentWith();
  agent.apply({ rebind: enforce, hosts: [{ hostnames: ['db.example'], addresses: ['10.0.0.1'], ttlSeconds: 60 }] });
  assert.equal((await agent.answer(query('db.example'))).answers.length, 1);
});

test('a block is remembered as long as the answer would have been, and the servers are asked once', async () => {
  const agent = agentWith();
  for (const _ of [1, 2, 3]) assert.ok(isBlocked(await agent.answer(ednsQuery('evil.example'))));
  assert.equal(agent.upstream.queries.length, 1);
  await agent.clock.advance(50_000);
  assert.ok(isBlocked(await agent.answer(ednsQuery('evil.example'))));
  assert.equal(agent.upstream.queries.length, 1);
  await agent.clock.advance(10_000);
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  assert.equal((await agent.answer(ednsQuery('evil.example'))).answers.length, 1);
});

test('whoever turns a name inwards at once ends what was known of it before', async () => {
  const agent = agentWith({ answers: [a(questionName, 1, '192.0.2.7')] });
  assert.equal((await agent.answer(ednsQuery('evil.example'))).answers.length, 1);
  await agent.clock.advance(1_000);
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 0, '10.0.0.7')] });
  // Stale, while it is refreshed behind.
  await agent.answer(ednsQuery('evil.example'));
  assert.ok(isBlocked(await agent.answer(ednsQuery('evil.example'))));
});

test('with Report all is answered as ever, and it is told once a second what would have been blocked', async () => {
  const agent = agentWith({ rebind: { mode: 'Report' } });
  for (const name of ['a.example', 'b.example']) assert.equal((await agent.answer(query(name))).answers.length, 1);
  assert.deepEqual(agent.privateAnswers, ['a.example. 10.0.0.7']);
  await agent.clock.advance(1_000);
  await agent.answer(query('c.example'));
  await agent.answer(query('a.example'));
  assert.deepEqual(agent.privateAnswers, ['a.example. 10.0.0.7', 'c.example. 10.0.0.7']);
});

test('what was let in is not served once it is protected from, nor is a block once it is not', async () => {
  const agent = agentWith({ rebind: { mode: 'Report' } });
  const answers = async (rebind?: Rebind) => {
    agent.apply(rebind === undefined ? {} : { rebind });
    return (await agent.answer(query('evil.example'))).answers.length;
  };
  assert.equal(await answers(), 1);
  assert.equal(await answers(enforce), 0);
  assert.equal(await answers({ ...enforce, allowedDomains: ['evil.example'] }), 1);
  assert.equal(await answers(enforce), 0);
  assert.equal(await answers({ ...enforce, mode: 'Report' }), 1);
});
