/**
 * RFC 6303 §3: zones for which "recursive nameservers … serve empty zones"; §4 lists them, and RFC 7793 adds those of the addresses
 * that providers share.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { query, reply, soa, type } from '../../fake/octets.ts';

const ptr = 12;

function agentWith(exceptRanges: string[] = [], zones: string[] = []): FakeAgent {
  const local = { privateReverse: { exceptRanges } };
  const agent = new FakeAgent({ local, blocks: zones.map((zone) => ({ zone })) });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 5 });
  return agent;
}

const refused = 5;

async function rcodeOf(agent: FakeAgent, name: string, asked: number = ptr): Promise<number> {
  return (await agent.answer(query(name, { type: asked }))).rcode;
}

test('names of private addresses do not exist, with a SOA record that bounds how long', async () => {
  const agent = agentWith();
  for (const name of [
    ...['7.1.0.10.in-addr.arpa', '1.0.16.172.in-addr.arpa', '1.255.31.172.in-addr.arpa', '1.1.168.192.IN-ADDR.arpa'],
    ...['1.0.64.100.in-addr.arpa', '1.0.127.100.in-addr.arpa', '1.0.0.127.in-addr.arpa', '1.1.254.169.in-addr.arpa'],
    ...['1.2.0.192.in-addr.arpa', `${'1.'.repeat(8)}d.f.ip6.arpa`, 'b.e.f.ip6.arpa', '8.b.d.0.1.0.0.2.ip6.arpa'],
    `1.${'0.'.repeat(31)}ip6.arpa`,
  ]) {
    const { rcode, authorities } = await agent.answer(query(name, { type: ptr }));
    const isApex = ['b.e.f.ip6.arpa', '8.b.d.0.1.0.0.2.ip6.arpa', `1.${'0.'.repeat(31)}ip6.arpa`].includes(name);
    assert.equal(rcode, isApex ? 0 : 3, name);
    assert.match(authorities.join(), / 300 SOA minimum=300$/, name);
  }
  assert.equal(agent.upstream.queries.length, 0);
});

test('the SOA record is of the zone, and is answered where it is asked for', async () => {
  const agent = agentWith();
  const { authorities } = await agent.answer(query('7.1.0.10.in-addr.arpa', { type: ptr }));
  assert.deepEqual(authorities, ['10.in-addr.arpa 300 SOA minimum=300']);
  const apex = await agent.answer(query('10.in-addr.arpa', { type: type.SOA }));
  assert.deepEqual([apex.rcode, apex.answers, apex.authorities], [0, ['10.in-addr.arpa 300 SOA minimum=300'], []]);
});

test('names of public addresses, and names that only look like these, are asked of servers', async () => {
  const agent = agentWith();
  for (const name of [
    ...['8.8.8.8.in-addr.arpa', '1.0.32.172.in-addr.arpa', '1.0.63.100.in-addr.arpa', '172.in-addr.arpa'],
    ...['1.c.f.ip6.arpa', 'c.e.f.ip6.arpa', '10.in-addr.arpa.example', '1.d.f.ip6.arpa.example', 'arpa'],
  ]) {
    assert.equal(await rcodeOf(agent, name), refused, name);
  }
});

test('pods and Services have names, and what is above these exists', async () => {
  const agent = agentWith(['10.244.0.0/16', '10.96.0.0/12', 'fd00:10:96::/112', '172.20.4.0/23', '192.168.7.1/32']);
  for (const name of [
    ...['1.0.244.10.in-addr.arpa', '244.10.in-addr.arpa', '1.0.96.10.in-addr.arpa', '1.0.111.10.in-addr.arpa'],
    ...['1.4.20.172.in-addr.arpa', '1.5.20.172.in-addr.arpa', '1.7.168.192.in-addr.arpa'],
    '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa',
  ]) {
    assert.equal(await rcodeOf(agent, name), refused, name);
  }
  for (const name of [
    '1.0.245.10.in-addr.arpa',
    '95.10.in-addr.arpa',
    '112.10.in-addr.arpa',
    '6.20.172.in-addr.arpa',
  ]) {
    assert.equal(await rcodeOf(agent, name), 3, name);
  }
  for (const name of ['20.172.in-addr.arpa', '7.168.192.in-addr.arpa', '0.0.d.f.ip6.arpa', '10.in-addr.arpa']) {
    assert.equal(await rcodeOf(agent, name), 0, name);
  }
  assert.equal(await rcodeOf(agent, '2.7.168.192.in-addr.arpa'), 3);
});

test('a zone that is configured is asked of its servers, and hosts win', async () => {
  const agent = agentWith([], ['1.10.in-addr.arpa', '168.192.in-addr.arpa']);
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 3, authorities: [soa('example', 60, 60)] });
  await agent.answer(query('7.0.1.10.in-addr.arpa', { type: ptr }));
  await agent.answer(query('7.0.168.192.in-addr.arpa', { type: ptr }));
  assert.equal(agent.upstream.queries.length, 2);
  assert.equal(await rcodeOf(agent, '7.0.2.10.in-addr.arpa'), 3);
  assert.equal(agent.upstream.queries.length, 2);
  agent.apply({
    privateReverse: { exceptRanges: [] },
    hosts: [{ hostnames: ['db.example'], addresses: ['10.2.0.7'], ttlSeconds: 60 }],
  });
  assert.equal((await agent.answer(query('7.0.2.10.in-addr.arpa', { type: ptr }))).answers.length, 1);
});

test('nothing of this holds unless it is configured, nor for another class than IN', async () => {
  const agent = agentWith();
  assert.equal((await agent.answer(query('7.1.0.10.in-addr.arpa', { type: ptr, class: 4 }))).rcode, refused);
  agent.apply({});
  assert.equal(await rcodeOf(agent, '8.1.0.10.in-addr.arpa'), refused);
});
