/** RFC 6891 §6.2.3: "Values lower than 512 MUST be treated as equal to 512." */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { ednsQuery, questionName, reply, txt } from '../../fake/octets.ts';

test('a size below 512 means 512, also where it is 0', async () => {
  const agent = new FakeAgent();
  const answers = [txt(questionName, 60, 'x'.repeat(255), 'x'.repeat(150))];
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers });
  for (const udpSize of [0, 1, 300, 512]) {
    const answer = await agent.answer(ednsQuery('a', { udpSize }, { type: 16 }));
    assert.ok(!answer.flags.includes('tc'), `${udpSize}`);
    assert.equal(answer.answers.length, 1, `${udpSize}`);
  }
});

test('the OPT record is part of the size', async () => {
  const agent = new FakeAgent();
  /** 512 octets without OPT. */
  const answers = [txt(questionName, 60, 'x'.repeat(255), 'x'.repeat(512 - 12 - 7 - 12 - 256 - 1))];
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers });
  assert.ok((await agent.answer(ednsQuery('a', { udpSize: 522 }, { type: 16 }))).flags.includes('tc'));
  assert.equal((await agent.octets(ednsQuery('a', { udpSize: 523 }, { type: 16 }))).length, 523);
});
