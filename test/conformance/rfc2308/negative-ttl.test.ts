/** RFC 2308 §5: the TTL of a negative answer is "the minimum of the SOA.MINIMUM field and SOA's TTL". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { query, reply, soa } from '../../fake/octets.ts';

for (const [what, rcode] of [
  ['NXDOMAIN', 3],
  ['NODATA', 0],
] as const) {
  for (const [why, ttl, minimum, seconds] of [
    ['SOA MINIMUM', 50, 20, 20],
    ['the SOA’s TTL', 20, 50, 20],
    ['the block’s cap', 3600, 7200, 60],
  ] as const) {
    test(`${what} is cached for ${why}, and says so`, async () => {
      const agent = new FakeAgent({ root: { negativeCacheDurationInSeconds: 60 } });
      agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode, authorities: [soa('example', ttl, minimum)] });
      const told: string[] = [];
      for (const stepMs of [0, (seconds - 1) * 1000, 1000]) {
        await agent.clock.advance(stepMs);
        const answer = await agent.answer(query('none.example'));
        assert.equal(answer.rcode, rcode);
        told.push(...answer.authorities);
      }
      const soaLine = (left: number) => `example ${left} SOA minimum=${minimum}`;
      assert.deepEqual(told, [soaLine(seconds), soaLine(1), soaLine(seconds)]);
      assert.equal(agent.upstream.queries.length, 2);
    });
  }
}

test('with a cap of 0 negative answers are not cached, positive ones are', async () => {
  const agent = new FakeAgent({ root: { negativeCacheDurationInSeconds: 0 } });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 3, authorities: [soa('example', 60, 60)] });
  await agent.answer(query('none.example'));
  assert.equal(agent.cache.size, 0);
});
