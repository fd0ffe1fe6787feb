/**
 * RFC 6762 §22.1: "Caching DNS servers SHOULD recognize these names as special and SHOULD NOT attempt to look up NS records for
 * them … Instead, caching DNS servers SHOULD generate immediate NXDOMAIN responses"; §3 and appendix G know of networks where
 * `local` is a zone of the DNS, and the cluster's domain usually is one: these are asked.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, query, questionName, reply } from '../../fake/octets.ts';

function agentWith(...zones: string[]): FakeAgent {
  const agent = new FakeAgent({ blocks: zones.map((zone) => ({ zone })) });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  return agent;
}

test('names below local do not exist where no zone is configured for them, and the answer says what is missing', async () => {
  const agent = agentWith('cluster.local');
  for (const name of ['printer.local', 'a.b.Local', 'notcluster.local']) {
    const { rcode, extendedError } = await agent.answer(ednsQuery(name));
    assert.deepEqual([rcode, extendedError], [3, 0], name);
  }
  assert.equal(agent.upstream.queries.length, 0);
});

test('zones below local are asked of their servers, and local does not hide them', async () => {
  const agent = agentWith('cluster.local', 'corp.local');
  for (const name of ['a.svc.cluster.local', 'dc.corp.local', 'corp.local', 'mylocal', 'local.example']) {
    assert.equal((await agent.answer(query(name))).answers.length, 1, name);
  }
  // RFC 8020: below a name that does not exist there is nothing.
  assert.deepEqual([(await agent.answer(query('local'))).rcode, agent.upstream.queries.length], [0, 5]);
});

test('where local itself is a zone all of it is asked of its servers', async () => {
  const agent = agentWith('local');
  assert.equal((await agent.answer(query('printer.local'))).answers.length, 1);
});
