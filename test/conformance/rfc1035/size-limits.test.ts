/** RFC 1035 §2.3.4: labels have "63 octets or less", names "255 octets or less". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, query, questionName, reply } from '../../fake/octets.ts';

const label = 'x'.repeat(63);
/** 3 labels of 64 octets, one of 62, and the root's. */
const longest = [label, label, label, 'y'.repeat(61)].join('.');

test('a name of 255 octets is forwarded, and answered from the cache', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  for (const _ of ['forwarded', 'cached']) {
    assert.deepEqual((await agent.answer(query(longest))).answers, [`${longest} 60 A 192.0.2.7`]);
  }
  assert.equal(agent.upstream.queries.length, 1);
});

test('a name of 256 octets gets FORMERR', async () => {
  assert.equal((await new FakeAgent().answer(query(`${longest}y`))).rcode, 1);
});

test('a name of labels of one octet each may have 127 of them, not 128', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 3 });
  const labels = (count: number) => Array.from({ length: count }, () => 'z').join('.');
  assert.equal((await agent.answer(query(labels(127)))).rcode, 3);
  assert.equal((await agent.answer(query(labels(128)))).rcode, 1);
});
