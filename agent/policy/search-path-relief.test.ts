/** Through a whole serving half: what cluster DNS is asked, and what it is spared. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../test/fake/agent.ts';
import { a, ednsQuery, query, questionName, reply, soa, type } from '../../test/fake/octets.ts';

const impossible = (number: number) => `n${number}.api.example.com.shop.svc.cluster.local`;

/** Cluster DNS has nothing but the names that it is given here. */
function agentWith(searchPath: 'Report' | 'Spec' | undefined, names: readonly string[] = []): FakeAgent {
  const agent = new FakeAgent({
    blocks: [{ zone: 'cluster.local' }, { zone: 'shop.svc.cluster.local' }],
    local: searchPath === undefined ? {} : { searchPath },
  });
  agent.upstream.answer = ({ bytes, question }) =>
    names.includes(question.name)
      ? reply(bytes, { answers: [a(questionName, 30, '10.96.0.1')] })
      : reply(bytes, { rcode: 3, authorities: [soa('cluster.local', 30, 20)] });
  return agent;
}

const asked = (agent: FakeAgent) => agent.upstream.queries.map(({ question }) => question.name);

test('Spec: what cannot exist does not, with the SOA record of cluster DNS; the first of each kind is asked about', async () => {
  const agent = agentWith('Spec');
  for (const number of [1, 2, 3]) {
    const { rcode, authorities } = await agent.answer(query(impossible(number)));
    assert.equal(rcode, 3);
    assert.deepEqual(authorities, ['cluster.local 20 SOA minimum=20']);
  }
  assert.deepEqual(asked(agent), [impossible(1)]);
  const first = 'example.com.cluster.local';
  for (const name of [first, 'www.example.com.cluster.local', 'com.cluster.local']) {
    assert.equal((await agent.answer(query(name, { type: type.AAAA }))).rcode, 3);
  }
  assert.deepEqual(asked(agent).slice(1), [first]);
});

test('Spec: one of 64 is a sample', async () => {
  const agent = agentWith('Spec');
  await agent.answer(query('none.shop.svc.cluster.local'));
  for (let number = 0; number < 1 + 64 * 3; number += 1) await agent.answer(query(impossible(number)));
  assert.deepEqual(asked(agent).slice(1), [0, 64, 128, 192].map(impossible));
});

test('Spec: a name that has an answer in the cache is asked about, also where the exception of its kind has ended', async () => {
  const agent = agentWith('Spec', ['db.corp.cluster.local']);
  await agent.answer(query('db.corp.cluster.local'));
  await agent.clock.advance(24 * 3_600_000);
  for (let number = 0; number <= 64; number += 1) await agent.answer(query(`n${number}.corp.cluster.local`));
  agent.upstream.queries.length = 0;
  await agent.answer(query('other.corp.cluster.local'));
  assert.deepEqual(asked(agent), []);
  assert.equal((await agent.answer(query('db.corp.cluster.local'))).rcode, 0);
  assert.deepEqual(asked(agent), ['db.corp.cluster.local']);
});

test('Spec: a failure of the servers proves nothing', async () => {
  const agent = agentWith('Spec');
  await agent.answer(query('none.shop.svc.cluster.local'));
  await agent.answer(query('none.cluster.local'));
  const { answer } = agent.upstream;
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 2 });
  await agent.answer(query(impossible(1)));
  agent.upstream.answer = answer;
  agent.upstream.queries.length = 0;
  await agent.answer(query(impossible(2)));
  assert.deepEqual(asked(agent), [impossible(2)]);
});

test('Spec: what can exist, and whoever wants proofs, is left to cluster DNS', async () => {
  const agent = agentWith('Spec');
  await agent.answer(query(impossible(1)));
  await agent.answer(query(impossible(2)));
  assert.deepEqual(asked(agent), [impossible(1)]);
  const possible = ['api.example.com.svc.cluster.local', '_http._tcp.web.shop.svc.cluster.local', 'example.com'];
  for (const name of possible) await agent.answer(query(name));
  await agent.answer(ednsQuery(impossible(3), { dnssecOk: true }));
  await agent.answer(query(impossible(4), { class: 4 }));
  assert.deepEqual(asked(agent).slice(1), [...possible, impossible(3), impossible(4)]);
});

test('Spec: records of one’s own are found, what is like them is asked about from then on, and somebody is told', async () => {
  const own = ['mail.corp.cluster.local', 'www.corp.cluster.local'];
  const agent = agentWith('Spec', own);
  await agent.answer(query('none.svc.cluster.local'));
  for (const name of own) assert.deepEqual((await agent.answer(query(name))).answers, [`${name} 30 A 10.96.0.1`]);
  assert.deepEqual(agent.exceptionsOfSearchPath, ['corp.cluster.local.']);
  // Another kind is as impossible as before.
  await agent.answer(query('a.example.com.cluster.local'));
  await agent.answer(query('b.example.com.cluster.local'));
  assert.deepEqual(asked(agent).slice(1), [...own, 'a.example.com.cluster.local']);
});

test('before cluster DNS has shown its SOA record nobody is answered', async () => {
  const agent = agentWith('Spec');
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 3, authorities: [soa('local', 30, 20)] });
  for (const number of [1, 2, 3]) await agent.answer(query(impossible(number)));
  assert.deepEqual(asked(agent), [1, 2, 3].map(impossible));
});

test('Report asks as ever, and Disabled does not look', async () => {
  for (const mode of ['Report', undefined] as const) {
    const agent = agentWith(mode);
    for (const number of [1, 2, 3]) await agent.answer(query(impossible(number)));
    assert.deepEqual(asked(agent), [1, 2, 3].map(impossible));
  }
});

test('what is known is served from the cache, whatever the specification says', async () => {
  const agent = agentWith('Spec', [impossible(1)]);
  for (const _ of ['forwarded', 'cached']) {
    assert.deepEqual((await agent.answer(query(impossible(1)))).answers, [`${impossible(1)} 30 A 10.96.0.1`]);
  }
  assert.equal(agent.upstream.queries.length, 1);
});

test('Spec: a kind that was not denied yet is asked about, whatever became of the first of its names', async () => {
  const agent = agentWith('Spec');
  await agent.answer(query('none.svc.cluster.local'));
  const answer = agent.upstream.answer;
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 2 });
  await agent.answer(query(impossible(1)));
  await agent.answer(query(impossible(2)));
  agent.upstream.answer = answer;
  for (const number of [3, 4]) await agent.answer(query(impossible(number)));
  assert.ok(asked(agent).includes(impossible(3)));
  assert.ok(!asked(agent).includes(impossible(4)));
});

test('Spec: a flood of kinds costs those that are in use nothing, nor those that come after it, and is counted', async () => {
  const agent = agentWith('Spec');
  const used = (number: number) => `n${number}.example.com.mall.svc.cluster.local`;
  for (let number = 0; number < 20; number += 1) await agent.answer(query(used(number)));
  const kinds = 5_000;
  for (let kind = 0; kind < kinds; kind += 1) {
    await agent.answer(query(`x.r${kind}.cluster.local`));
    if (kind % 500 === 0) await agent.answer(query(used(20 + kind)));
  }
  const before = agent.upstream.queries.length;
  assert.equal(before, 1 + kinds);
  for (let number = 1; number <= 5; number += 1) await agent.answer(query(`a.b.${number}.later.svc.cluster.local`));
  assert.deepEqual(asked(agent).slice(before), ['a.b.1.later.svc.cluster.local']);
  const count = (what: Parameters<typeof agent.zoneCount>[1]) => agent.zoneCount('cluster.local', what);
  assert.equal(count('searchPathUnproven'), kinds + 2);
  assert.equal(count('searchPathForgotten'), kinds + 2 - 1_024);
});

test('Spec: whatever is asked about all the same is counted with the reason', async () => {
  const agent = agentWith('Spec', ['mail.corp.cluster.local']);
  const count = (what: Parameters<typeof agent.zoneCount>[1]) => agent.zoneCount('cluster.local', what);
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 3, authorities: [soa('local', 30, 20)] });
  for (const name of ['a', 'b']) await agent.answer(query(`${name}.one.cluster.local`));
  agent.upstream.answer = ({ bytes, question }) =>
    question.name === 'mail.corp.cluster.local'
      ? reply(bytes, { answers: [a(questionName, 30, '10.96.0.1')] })
      : reply(bytes, { rcode: 3, authorities: [soa('cluster.local', 30, 20)] });
  await agent.answer(ednsQuery('c.one.cluster.local', { dnssecOk: true }));
  for (const name of ['mail', 'www']) await agent.answer(query(`${name}.corp.cluster.local`));
  for (let number = 0; number < 64; number += 1) await agent.answer(query(`${number}.one.cluster.local`));
  const reasons = ['Unproven', 'Soa', 'Dnssec', 'Exception', 'Sample'] as const;
  assert.deepEqual(Object.fromEntries(reasons.map((reason) => [reason, count(`searchPath${reason}`)])), {
    ...{ Unproven: 2, Soa: 1, Dnssec: 1, Exception: 1, Sample: 1 },
  });
});

test('what was learnt outlives a change of the configuration: exceptions found by Report hold with Spec', async () => {
  const agent = agentWith('Report', ['mail.corp.cluster.local']);
  await agent.answer(query('none.corp.cluster.local'));
  await agent.answer(query('mail.corp.cluster.local'));
  await agent.answer(query('none.else.cluster.local'));
  assert.deepEqual(agent.exceptionsOfSearchPath, ['corp.cluster.local.']);
  agent.apply({ searchPath: 'Spec' });
  const before = agent.upstream.queries.length;
  for (const name of ['a.corp', 'b.corp', 'a.else']) await agent.answer(query(`${name}.cluster.local`));
  assert.deepEqual(asked(agent).slice(before), ['a.corp.cluster.local', 'b.corp.cluster.local']);
});
