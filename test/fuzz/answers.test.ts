import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answers as isAnswer } from '../../agent/forward/udp-exchange.ts';
import { FakeAgent } from '../fake/agent.ts';
import { settle } from '../fake/clock.ts';
import { ednsQuery, flag, query, type as rrType } from '../fake/octets.ts';
import { hostileAnswer } from './answers.ts';
import { complaintAbout } from './form.ts';
import { packetsOfRun, Random, seedOfRun } from './random.ts';

const exchanges = packetsOfRun(30_000, 1_000_000);
const cacheBytes = 1 << 20;
const names = 60;
const domains = ['example', 'example', 'example', 'verify.example', 'tcp.example', 'x.y.z.ns.svc.cluster.local'];

test(`${exchanges} hostile upstream answers: no exception, every client answered in form and in time`, async (t) => {
  const random = new Random(seedOfRun());
  t.diagnostic(`FUZZ_SEED=${random.seed}`);
  const agent = new FakeAgent({
    root: { serveStale: 'Immediate', maxConcurrent: 1_000 },
    blocks: [
      { zone: 'verify.example', serveStale: 'Verify' },
      { zone: 'tcp.example', protocol: 'ForceTCP' },
      { zone: 'cluster.local', serveStale: 'Immediate' },
    ],
    // Whatever looks into answers looks into these.
    local: {
      searchPath: 'Spec',
      rebind: { mode: 'Enforce', allowedDomains: [], allowLoopback: true, extraPrefixes: [] },
    },
    destinations: { nodeDns: ['192.0.2.1:53', '192.0.2.2:53'] },
    cacheBytes,
  });
  let last: Buffer = Buffer.alloc(0);
  // As sockets do: what is no reply to this question is not handed on, and the wait goes on.
  agent.upstream.respond = ({ bytes, send }) => {
    agent.upstream.queries.length = 0;
    last = hostileAnswer(random, bytes);
    if (last.length >= 12 && isAnswer(last, bytes)) send(last);
  };
  const seen = { records: 0, cached: 0, failed: 0 };

  for (let number = 0; number < exchanges; number += 1) {
    const name = `n${random.below(names)}.${random.pick(domains)}`;
    const parts = { id: random.below(0x10000), type: random.pick([1, 1, 28, rrType.ANY, rrType.CNAME, 65]) };
    const packet = random.once(3) ? query(name, parts) : ednsQuery(name, { dnssecOk: random.once(2) }, parts);
    const is = (what: string) =>
      `${what}: FUZZ_SEED=${random.seed}, exchange ${number}, ${packet.toString('hex')} ← ${last.toString('hex')}`;
    const asked = agent.ask(Buffer.from(packet), random.once(4));
    if (asked.answer !== undefined) seen.cached += 1;
    await settle();
    // Silence of both servers, to the deadline.
    if (asked.answer === undefined) await agent.clock.advance(2_000);
    if (agent.exceptions.length > 0) assert.fail(is(String((agent.exceptions[0] as Error).stack)));
    if (asked.answer === undefined) assert.fail(is('no answer'));
    const complaint = complaintAbout(asked.answer, packet);
    if (complaint !== undefined) assert.fail(is(complaint));
    if (asked.answer.readUInt16BE(6) > 0) seen.records += 1;
    if ((asked.answer.readUInt16BE(2) & 0xf) === 2) seen.failed += 1;
    if ((asked.answer.readUInt16BE(2) & flag.tc) === 0 && agent.cache.bytes > cacheBytes) assert.fail(is('cache'));
    if (random.once(50)) await agent.clock.advance(random.pick([10_000, 60_000]));
  }
  // Whatever they did, nothing is left waiting but the probes of the two servers.
  agent.upstream.respond = ({ fail }) => fail();
  await agent.clock.advance(60_000);
  assert.ok(agent.clock.pending <= 2, `${agent.clock.pending} timers are left`);
  assert.equal(agent.count('exceptions'), 0);
  for (const [what, count] of Object.entries(seen)) assert.ok(count > exchanges / 50, `${what}: ${count}`);
});
