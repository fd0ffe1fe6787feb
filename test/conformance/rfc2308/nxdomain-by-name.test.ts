/** RFC 2308 §5: an NXDOMAIN answer is cached "against the tuple <query name, query class>": it holds for every type. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResponseCache } from '../../../agent/cache/response-cache.ts';
import { SnapshotReader, writeSnapshot } from '../../../agent/cache/snapshot.ts';
import { FakeAgent } from '../../fake/agent.ts';
import { a, cname, query, questionName, reply, soa, type } from '../../fake/octets.ts';

const gone = ({ bytes }: { bytes: Buffer }) => reply(bytes, { rcode: 3, authorities: [soa('example', 30, 30)] });

test('a name that does not exist has no type, and each answer repeats the question of its client', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = gone;
  for (const asked of [type.AAAA, type.A, type.TXT, type.CNAME]) {
    const packet = query('No.example', { type: asked });
    const octets = await agent.octets(packet);
    assert.equal(octets.readUInt16BE(2) & 0xf, 3);
    assert.deepEqual(octets.subarray(12, packet.length), packet.subarray(12));
  }
  assert.equal(agent.upstream.queries.length, 1);
});

test('behind an alias the code is about another name: the alias itself has types', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) =>
    bytes.readUInt16BE(bytes.length - 11 - 4) === type.CNAME
      ? reply(bytes, { answers: [cname('a.example', 30, 'b.example')] })
      : reply(bytes, {
          rcode: 3,
          answers: [cname('a.example', 30, 'b.example')],
          authorities: [soa('example', 30, 30)],
        });
  assert.equal((await agent.answer(query('a.example'))).rcode, 3);
  assert.equal((await agent.answer(query('a.example', { type: type.CNAME }))).rcode, 0);
});

test('of two stale answers the newer counts, and an answer that nobody may keep takes both away', async () => {
  const agent = new FakeAgent({ root: { serveStale: 'Immediate', serveStaleDurationInSeconds: 3600 } });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 300, '192.0.2.7')] });
  await agent.answer(query('a.example'));
  await agent.clock.advance(10_000);
  agent.upstream.answer = gone;
  await agent.answer(query('a.example', { type: type.AAAA }));
  await agent.clock.advance(300_000);
  // What the refreshes behind these answers are told is nothing that one may keep.
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 3 });
  assert.equal((await agent.answer(query('a.example'))).rcode, 3);
  assert.equal(agent.cache.size, 0);
});

test('it outlives its process like any other answer', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = gone;
  await agent.answer(query('no.example', { type: type.AAAA }));
  const blocks = new Map([['block', '\0\0']]);
  const now = { nowMs: agent.clock.nowMs(), wallMs: 0 };
  const later = new ResponseCache(1 << 20);
  const reader = new SnapshotReader(later, blocks, now);
  for (const frame of writeSnapshot(agent.cache, blocks, now, () => false)) {
    if (frame !== undefined) assert.equal(reader.push(Buffer.from(frame)), undefined);
  }
  assert.equal(reader.finish(), undefined);
  for (const _ of reader.store());
  assert.equal(later.size, 1);
});
