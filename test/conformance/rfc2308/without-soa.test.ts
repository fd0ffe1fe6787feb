/** RFC 2308 §5: negative responses "without SOA records SHOULD NOT be cached". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { cname, query, record, reply, soa, type, u32 } from '../../fake/octets.ts';

for (const [what, sections] of [
  ['NXDOMAIN', { rcode: 3 }],
  ['NODATA', { rcode: 0 }],
  ['a CNAME to nothing', { answers: [cname('a.example', 60, 'b.example')] }],
  ['NODATA with a SOA in the wrong section', { additionals: [soa('example', 60, 60)] }],
  ['NODATA with a SOA that is too short', { authorities: [record('example', type.SOA, 60, u32(1, 2))] }],
] as const) {
  test(`${what} is passed on, and asked for again`, async () => {
    const agent = new FakeAgent();
    agent.upstream.answer = ({ bytes }) => reply(bytes, { ...sections });
    const rcode = 'rcode' in sections ? sections.rcode : 0;
    for (const _ of [1, 2]) assert.equal((await agent.octets(query('a.example'))).readUInt16BE(2) & 0xf, rcode);
    assert.equal(agent.upstream.queries.length, 2);
    assert.equal(agent.cache.size, 0);
  });
}
