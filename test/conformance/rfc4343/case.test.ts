/** RFC 4343 §3, §4.1: names are compared "ignoring case", and the case of a name "SHOULD be preserved" in what is sent back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, query, questionName, reply } from '../../fake/octets.ts';

test('spellings share one answer, and each client gets its own back', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  for (const name of ['wWw.eXample.COM', 'www.example.com', 'WWW.EXAMPLE.COM']) {
    const answer = await agent.answer(query(name));
    assert.deepEqual(answer.question, `${name} IN A`);
    assert.deepEqual(answer.answers, [`${name} 60 A 192.0.2.7`]);
  }
  assert.equal(agent.upstream.queries.length, 1);
});

test('spellings that are asked at once share one upstream query, and each client gets its own back', async () => {
  const agent = new FakeAgent();
  const asked = ['A.example', 'a.EXAMPLE'].map((name) => agent.ask(query(name)));
  assert.equal(agent.upstream.queries.length, 1);
  const { bytes } = agent.upstream.last;
  agent.upstream.last.send(reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] }));
  await agent.clock.advance(0);
  assert.deepEqual(
    asked.map(({ answer }) => answer?.toString('latin1', 13, 14)),
    ['A', 'a'],
  );
});

test('the upstream sees the spelling of the client (0x20), and zones match without case', async () => {
  const agent = new FakeAgent({ blocks: [{ zone: 'cluster.local', forwardDestination: 'ClusterCoreDNS' }] });
  agent.ask(query('kube.Cluster.LOCAL'));
  assert.ok(agent.upstream.last.bytes.includes('\x04kube\x07Cluster\x05LOCAL\0'));
  assert.equal(agent.upstream.last.server, '192.0.2.10:53');
});

test('only ASCII letters have case: other octets are told apart', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  for (const name of ['\xc0.example', '\xe0.example', '[.example', '{.example', '@.example', '`.example']) {
    await agent.octets(query(name));
  }
  assert.equal(agent.upstream.queries.length, 6);
});
