/** RFC 8914 §3: "Long EXTRA-TEXT fields may trigger truncation, which is usually undesirable for the supplemental nature of EDE." */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { ednsQuery, opt, query, questionName, read, reply, txt, type } from '../../fake/octets.ts';

/** Header 12, question 7, TXT record 12 + 201 + 51 + 1 + the rest. */
const ofSize = (size: number) => [txt(questionName, 60, 'x'.repeat(200), 'x'.repeat(50), 'x'.repeat(size - 284))];

for (const [size, told] of [
  [512 - 11 - 6, 3],
  [512 - 11 - 5, undefined],
  [512 - 11, undefined],
] as const) {
  test(`a stale answer of ${size} octets is whole for a client that takes 512, ${told ? 'with' : 'without'} its mark`, async () => {
    const agent = new FakeAgent({ root: { serveStale: 'Immediate' } });
    agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: ofSize(size) });
    const asked = ednsQuery('a', { udpSize: 512 }, { type: type.TXT });
    await agent.octets(asked);
    await agent.clock.advance(60_000);
    const answer = await agent.answer(asked);
    assert.ok(!answer.flags.includes('tc'));
    assert.equal(answer.answers.length, 1);
    assert.equal(answer.extendedError, told);
  });
}

test('an answer that fills all that TCP can carry arrives whole, with options or without', async () => {
  const agent = new FakeAgent();
  const text = (length: number) => txt(questionName, 60, 'x'.repeat(length));
  const fill = (size: number) => {
    const whole = Array.from({ length: 244 }, () => text(255));
    const left = size - 12 - 7 - whole.length * 268;
    return [...whole, text(left - 13)];
  };
  for (const [name, size, hasOpt] of [
    ['a', 65_535 - 11, true],
    ['b', 65_535, false],
  ] as const) {
    agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: fill(size), additionals: hasOpt ? [opt({})] : [] });
    for (const what of ['forwarded', 'cached']) {
      const options = [{ code: 65_001, data: Buffer.alloc(0) }];
      const octets = await agent.octets(ednsQuery(name, { options }, { type: type.TXT }), true);
      assert.equal(octets.length, 65_535, what);
      assert.deepEqual(read(octets).flags, ['qr', 'rd', 'ra'], what);
      assert.equal(read(octets).answers.length, 245, what);
    }
    assert.ok((await agent.answer(query(name, { type: type.TXT }))).flags.includes('tc'));
  }
});
