/**
 * RFC 8020 §2: on NXDOMAIN "all names and resource record sets (RRsets) at or below that node SHOULD be considered unreachable";
 * a resolver may do so "only when the NXDOMAIN response has been validated with DNSSEC".
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placeOf } from '../../../agent/server/plan.ts';
import { type AgentOptions, FakeAgent } from '../../fake/agent.ts';
import { a, cname, ednsQuery, flag, query, questionName, reply, soa } from '../../fake/octets.ts';

interface Denial {
  name: string;
  /** Who denies it. */
  zone: string;
  flags?: number;
}

/** An agent that has been told that a name does not exist; every other name does. */
async function told({ name, zone, flags = flag.ra | flag.ad }: Denial, options: AgentOptions = {}): Promise<FakeAgent> {
  const agent = new FakeAgent(options);
  agent.upstream.answer = ({ bytes }) =>
    bytes.includes(query(name).subarray(12, -4)) && bytes.indexOf(query(name).subarray(12, -4)) === 12
      ? reply(bytes, { rcode: 3, flags, authorities: [soa(zone, 60, 50)] })
      : reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  await agent.answer(query(name));
  return agent;
}

const validated = { name: 'gone.example.com', zone: 'example.com' };

test('what is below a name whose absence was validated does not exist either, until that is to be asked again', async () => {
  const agent = await told(validated);
  await agent.clock.advance(10_000);
  for (const name of ['a.gone.example.com', 'B.a.Gone.example.com']) {
    const { rcode, answers, authorities, flags } = await agent.answer(query(name));
    assert.deepEqual({ rcode, answers, flags }, { rcode: 3, answers: [], flags: ['qr', 'rd', 'ra'] });
    assert.deepEqual(authorities, ['example.com 40 SOA minimum=50']);
  }
  assert.equal(agent.upstream.queries.length, 1);
  assert.equal(agent.counts[placeOf('nxdomainAbove')], 2);
  await agent.clock.advance(40_000);
  assert.equal((await agent.answer(query('a.gone.example.com'))).rcode, 0);
});

test('its neighbours, and what only ends with the same octets, are asked about', async () => {
  const agent = await told(validated);
  for (const name of ['example.com', 'x.example.com', 'agone.example.com', 'x\x04gone.example.com']) {
    assert.equal((await agent.answer(query(name))).rcode, 0, name);
  }
});

for (const [what, denial, below] of [
  // As CoreDNS does: its name for a port has one more label.
  [
    'what nobody has validated',
    { name: '_tcp.web.default.svc.cluster.local', zone: 'cluster.local', flags: flag.ra },
    '_http._tcp.web.default.svc.cluster.local',
  ],
  ['what the root denies, where networks have names of their own', { name: 'corp', zone: '.' }, 'db.corp'],
  ['`local.`, which is above the cluster domain', { name: 'local', zone: '.' }, 'kubernetes.default.svc.cluster.local'],
  ['what a zone denies that it is not in', { name: 'gone.example.com', zone: 'example.net' }, 'a.gone.example.com'],
] as const) {
  test(`${what} hides nothing`, async () => {
    const agent = await told(denial, { blocks: [{ zone: 'cluster.local' }] });
    assert.equal((await agent.answer(query(below))).rcode, 0);
  });
}

test('it hides no server block below, nor what is below the name of a block, nor hosts', async () => {
  const below = await told(validated, { blocks: [{ zone: 'dev.gone.example.com' }] });
  assert.equal((await below.answer(query('db.dev.gone.example.com'))).rcode, 0);
  const apex = await told(validated, { blocks: [{ zone: 'gone.example.com' }] });
  assert.equal((await apex.answer(query('db.gone.example.com'))).rcode, 0);
  const hosts = [{ hostnames: ['db.gone.example.com'], addresses: ['192.0.2.8'], ttlSeconds: 60 }];
  const agent = await told(validated, { local: { hosts } });
  assert.deepEqual((await agent.answer(query('db.gone.example.com'))).answers, ['db.gone.example.com 60 A 192.0.2.8']);
});

test('who wants proofs, or no validation, gets the answer of the servers', async () => {
  const agent = await told(validated);
  assert.equal((await agent.answer(ednsQuery('a.gone.example.com', { dnssecOk: true }))).rcode, 0);
  const other = await told(validated);
  assert.equal((await other.answer(query('a.gone.example.com', { flags: flag.rd | flag.cd }))).rcode, 0);
});

test('it is over as soon as something turns out to be there', async () => {
  const agent = await told(validated);
  await agent.answer(ednsQuery('b.a.gone.example.com', { dnssecOk: true }));
  assert.equal((await agent.answer(query('other.gone.example.com'))).rcode, 0);
});

test('what is known is answered with that', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) =>
    bytes[12] === 4
      ? reply(bytes, { rcode: 3, flags: flag.ra | flag.ad, authorities: [soa('example.com', 60, 50)] })
      : reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  await agent.answer(query('a.gone.example.com'));
  await agent.answer(query('gone.example.com'));
  assert.equal((await agent.answer(query('a.gone.example.com'))).answers.length, 1);
});

test('the NXDOMAIN behind an alias is about another name, and one that may not be cached about none', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => {
    if (bytes[12] === 1) return reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
    const answers = bytes.includes('alias') ? [cname('alias.example.com', 60, 'gone.example.com')] : [];
    const authorities = bytes.includes('zero') ? [soa('example.com', 0, 0)] : [soa('example.com', 60, 50)];
    return reply(bytes, { rcode: 3, flags: flag.ra | flag.ad, answers, authorities });
  };
  for (const name of ['alias.example.com', 'zero.example.com']) {
    assert.equal((await agent.answer(query(name))).rcode, 3);
    assert.equal((await agent.answer(query(`a.${name}`))).rcode, 0);
  }
});

test('it holds no more than some names', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) =>
    bytes[12] === 1
      ? reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] })
      : reply(bytes, { rcode: 3, flags: flag.ra | flag.ad, authorities: [soa('example.com', 60, 50)] });
  for (let name = 0; name < 300; name += 1) await agent.answer(query(`gone-${name}.example.com`));
  assert.equal((await agent.answer(query('a.gone-0.example.com'))).rcode, 0);
  assert.equal((await agent.answer(query('a.gone-299.example.com'))).rcode, 3);
});
