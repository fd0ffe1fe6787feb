/** RFC 2308 §2.1: with NXDOMAIN, "the answer section may contain CNAME RRs"; the code speaks of the last name of the chain. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { cname, query, reply, soa } from '../../fake/octets.ts';

test('a chain that ends in NXDOMAIN is kept whole, for as long as the NXDOMAIN holds', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) =>
    reply(bytes, {
      rcode: 3,
      answers: [cname('a.example', 15, 'b.example'), cname('b.example', 40, 'c.example')],
      authorities: [soa('example', 50, 12)],
    });
  const seen: string[][] = [];
  for (const stepMs of [0, 11_000, 1_000]) {
    await agent.clock.advance(stepMs);
    const answer = await agent.answer(query('a.example'));
    assert.equal(answer.rcode, 3);
    assert.equal(answer.authorities.length, 1);
    seen.push(answer.answers);
  }
  const chain = (first: number, second: number) => [
    `a.example ${first} CNAME b.example`,
    `b.example ${second} CNAME c.example`,
  ];
  assert.deepEqual(seen, [chain(15, 40), chain(4, 29), chain(15, 40)]);
  assert.equal(agent.upstream.queries.length, 2);
});
