/** What is answered on the node: through a whole serving half, so that the order in which it is looked for is the real one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeConfig, RedirectNames } from '../../api/v1alpha1/node-config.ts';
import { FakeAgent } from '../../test/fake/agent.ts';
import { a, ednsQuery, query, questionName, reply, type } from '../../test/fake/octets.ts';
import { type LocalReason, placeOf } from '../server/plan.ts';
import { origin } from '../wire/edns.ts';
import { nameToText } from '../wire/name.ts';
import { reverseName } from './hosts.ts';

const none: RedirectNames = { exact: [], suffixes: [], patterns: [] };
const redirect = {
  name: 'r',
  match: none,
  except: none,
  addresses: ['10.0.0.1'],
  ttlSeconds: 30,
  otherTypes: 'NoData' as const,
};
const ptr = 12;
const mx = 15;

type Local = Partial<NodeConfig>;

/** A server that has every name at 192.0.2.7. */
function agentWith(local: Local, blocks: { zone: string }[] = []): FakeAgent {
  const agent = new FakeAgent({ blocks, local });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  return agent;
}

async function told(agent: FakeAgent, name: string, asked: number = type.A): Promise<string | string[]> {
  const { rcode, answers } = await agent.answer(query(name, { type: asked }));
  return rcode === 0 ? answers : `rcode ${rcode}`;
}

const forwarded = (name: string) => [`${name} 60 A 192.0.2.7`];

test('hosts: addresses of each family, nothing of other types, and names of addresses', async () => {
  const agent = agentWith({
    hosts: [
      { hostnames: ['db.example', 'db2.example'], addresses: ['10.0.0.1', '10.0.0.2', '2001:db8::a'], ttlSeconds: 60 },
      { hostnames: ['db.example'], addresses: ['10.0.0.3'], ttlSeconds: 5 },
    ],
  });
  assert.deepEqual(await told(agent, 'DB.example'), [
    'DB.example 5 A 10.0.0.1',
    'DB.example 5 A 10.0.0.2',
    'DB.example 5 A 10.0.0.3',
  ]);
  assert.equal((await told(agent, 'db.example', type.AAAA)).length, 1);
  assert.deepEqual(await told(agent, 'db.example', mx), []);
  assert.deepEqual(await told(agent, 'sub.db.example'), forwarded('sub.db.example'));
  for (const [address, count] of [
    ['10.0.0.1', 2],
    ['2001:db8::a', 2],
    ['10.0.0.3', 1],
  ] as const) {
    assert.equal((await told(agent, reverseName(address), ptr)).length, count, address);
  }
  assert.equal(agent.upstream.queries.length, 1);
});

test('names of addresses are written as the RFCs say', () => {
  assert.equal(reverseName('192.0.2.5'), '5.2.0.192.in-addr.arpa');
  assert.equal(
    reverseName('4321:0:1:2:3:4:567:89ab'),
    'b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa',
  );
});

test('blocked domains: with all below them, by whole labels, and the answer says so', async () => {
  const agent = agentWith({
    blockedDomains: [
      { domain: 'ads.example', response: 'NxDomain' },
      { domain: 'null.ads.example', response: 'NullAddress' },
    ],
  });
  assert.equal(await told(agent, 'ads.example'), 'rcode 3');
  assert.equal(await told(agent, 'a.b.Ads.example', mx), 'rcode 3');
  assert.deepEqual(await told(agent, 'loads.example'), forwarded('loads.example'));
  assert.deepEqual(await told(agent, 'x.null.ads.example'), ['x.null.ads.example 60 A 0.0.0.0']);
  assert.equal((await told(agent, 'null.ads.example', type.AAAA)).length, 1);
  assert.deepEqual(await told(agent, 'null.ads.example', mx), []);
  for (const name of ['ads.example', 'null.ads.example']) {
    assert.equal((await agent.answer(ednsQuery(name))).extendedError, 15);
  }
});

test('redirects: exact names, then the longest suffix, then patterns as they are listed', async () => {
  const to = (address: string, match: Partial<RedirectNames>, more: object = {}) => ({
    ...{ ...redirect, name: address, match: { ...none, ...match }, addresses: [address] },
    ...more,
  });
  const agent = agentWith({
    redirects: [
      to('10.0.0.1', { patterns: ['.*(ecr|lambda).*\\.amazonaws\\.com'] }),
      to('10.0.0.2', { patterns: ['.*lambda.*'] }),
      to('10.0.0.3', { suffixes: ['cloud.example'] }),
      to('10.0.0.4', { suffixes: ['deep.cloud.example'] }),
      to('10.0.0.5', { exact: ['one.deep.cloud.example'] }),
    ],
  });
  for (const [name, address] of [
    ['api.ECR.eu.amazonaws.com', '10.0.0.1'],
    ['my.lambda.amazonaws.com', '10.0.0.1'],
    ['my.lambda.example', '10.0.0.2'],
    ['cloud.example', '10.0.0.3'],
    ['lambda.cloud.example', '10.0.0.3'],
    ['x.deep.cloud.example', '10.0.0.4'],
    ['One.deep.cloud.example', '10.0.0.5'],
  ] as const) {
    for (const _ of ['found', 'remembered']) assert.deepEqual(await told(agent, name), [`${name} 30 A ${address}`]);
  }
  for (const name of ['s3.amazonaws.com', 'ecr.amazonaws.com.example', 'mycloud.example']) {
    for (const _ of ['found', 'remembered']) assert.deepEqual(await told(agent, name), forwarded(name));
  }
});

test('redirects: what is excepted goes on, to another redirect or to the servers', async () => {
  const match = { ...none, suffixes: ['amazonaws.com'] };
  const except = { exact: ['one.amazonaws.com'], suffixes: ['sts.amazonaws.com'], patterns: ['kms.*'] };
  const other = { ...none, patterns: ['.*\\.sts\\.amazonaws\\.com'] };
  const byPattern = { ...none, patterns: ['.*\\.example'] };
  const agent = agentWith({
    redirects: [
      { ...redirect, match, except },
      { ...redirect, name: 'other', match: other, addresses: ['10.0.0.9'] },
      { ...redirect, name: 'by-pattern', match: byPattern, except: { ...none, exact: ['b.example'] } },
    ],
  });
  assert.deepEqual(await told(agent, 's3.amazonaws.com'), ['s3.amazonaws.com 30 A 10.0.0.1']);
  assert.deepEqual(await told(agent, 'eu.sts.amazonaws.com'), ['eu.sts.amazonaws.com 30 A 10.0.0.9']);
  assert.deepEqual(await told(agent, 'a.example'), ['a.example 30 A 10.0.0.1']);
  for (const name of ['sts.amazonaws.com', 'kms.amazonaws.com', 'one.amazonaws.com', 'b.example']) {
    assert.deepEqual(await told(agent, name), forwarded(name));
  }
});

test('redirects: other types get nothing, or what the servers say', async () => {
  const match = { ...none, suffixes: ['example'] };
  const [closed, open] = [
    agentWith({ redirects: [{ ...redirect, match }] }),
    agentWith({ redirects: [{ ...redirect, match, otherTypes: 'Forward' }] }),
  ];
  for (const agent of [closed, open]) assert.deepEqual(await told(agent, 'a.example', type.AAAA), []);
  assert.deepEqual(await told(closed, 'a.example', mx), []);
  assert.deepEqual(await told(open, 'a.example', mx), forwarded('a.example'));
});

test('what was redirected yesterday is not remembered by a new configuration, nor the cache asked before a redirect', async () => {
  const agent = agentWith({});
  assert.deepEqual(await told(agent, 'a.example'), forwarded('a.example'));
  const match = { ...none, exact: ['a.example'] };
  agent.apply({ redirects: [{ ...redirect, match }] });
  assert.deepEqual(await told(agent, 'a.example'), ['a.example 30 A 10.0.0.1']);
  agent.apply({});
  assert.deepEqual(await told(agent, 'a.example'), forwarded('a.example'));
  assert.equal(agent.upstream.queries.length, 1);
});

test('hosts win over blocked domains, and these over redirects, whatever these except', async () => {
  const agent = agentWith({
    hosts: [{ hostnames: ['a.example'], addresses: ['10.0.0.8'], ttlSeconds: 60 }],
    blockedDomains: [{ domain: 'example', response: 'NxDomain' }],
    redirects: [
      { ...redirect, match: { ...none, suffixes: ['example', 'net'] }, except: { ...none, exact: ['a.example'] } },
    ],
  });
  assert.deepEqual(await told(agent, 'a.example'), ['a.example 60 A 10.0.0.8']);
  assert.equal(await told(agent, 'b.example'), 'rcode 3');
  assert.deepEqual(await told(agent, 'b.net'), ['b.net 30 A 10.0.0.1']);
});

test('names of one label: addresses are not asked about, other types, zones and the root are', async () => {
  const agent = agentWith({ singleLabelNames: 'NxDomain' }, [{ zone: 'corp' }]);
  assert.equal(await told(agent, 'db'), 'rcode 3');
  assert.equal(await told(agent, 'db', type.AAAA), 'rcode 3');
  for (const [name, asked] of [
    ['com', type.NS],
    ['corp', type.A],
    ['a.db', type.A],
    ['', type.NS],
  ] as const) {
    await told(agent, name, asked);
    assert.ok(agent.upstream.queries.length > 0, `${name} is asked`);
    agent.upstream.queries.length = 0;
  }
  const usual = agentWith({});
  assert.deepEqual(await told(usual, 'db'), forwarded('db'));
});

test('each answer is counted for its reason, and logged where the zone of the name logs its queries', async () => {
  const agent = new FakeAgent({
    root: { queryLogging: 'Log' },
    blocks: [{ zone: 'quiet.example' }, { zone: 'cluster.local' }],
    local: {
      hosts: [{ hostnames: ['a.example', 'b.quiet.example'], addresses: ['10.0.0.8'], ttlSeconds: 60 }],
      blockedDomains: [{ domain: 'ads.example', response: 'NxDomain' }],
      redirects: [{ ...redirect, match: { ...none, suffixes: ['cloud.example'] } }],
      privateReverse: { exceptRanges: [] },
      singleLabelNames: 'NxDomain',
    },
  });
  const asked: [LocalReason, string, number?][] = [
    ['hosts', 'a.example'],
    ['blockedDomains', 'x.ads.example'],
    ['redirects', 'x.cloud.example'],
    ['privateReverse', '7.0.0.10.in-addr.arpa', ptr],
    ['specialNames', 'printer.local'],
    ['singleLabelNames', 'db'],
    ['any', 'www.example', type.ANY],
  ];
  for (const [reason, name, of = type.A] of asked) {
    await agent.answer(query(name, { type: of }));
    assert.equal(agent.counts[placeOf(reason)], 1, reason);
  }
  await agent.answer(query('b.quiet.example'));
  assert.deepEqual(
    agent.queryLines.map((line) => `${nameToText(line.name)} ${line.origin === origin.local} ${line.rcode}`),
    asked.map(([reason, name]) => {
      const exists = ['hosts', 'redirects', 'any'].includes(reason);
      return `${name}. true ${exists ? 0 : 3}`;
    }),
  );
});

test('another class than IN has none of these names', async () => {
  const agent = agentWith({ hosts: [{ hostnames: ['a.example'], addresses: ['10.0.0.8'], ttlSeconds: 60 }] });
  await agent.answer(query('a.example', { class: 4 }));
  await agent.answer(query('localhost', { class: 4 }));
  assert.equal(agent.upstream.queries.length, 2);
});
