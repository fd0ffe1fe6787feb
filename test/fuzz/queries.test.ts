import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Reply } from '../../agent/server/server.ts';
import { Accept, Query } from '../../agent/wire/query.ts';
import { FakeAgent } from '../fake/agent.ts';
import { settle } from '../fake/clock.ts';
import { a, flag, questionName, reply, txt } from '../fake/octets.ts';
import { complaintAbout } from './form.ts';
import { anyQuery } from './queries.ts';
import { packetsOfRun, Random, seedOfRun } from './random.ts';

const packets = packetsOfRun(200_000, 10_000_000);
/** Loop turns are given back this often, so that upstream answers arrive. */
const batch = 500;

/** RFC 1035 §4.1.1: where the header can be trusted to be a query's, silence is not allowed. */
function deservesAnswer(packet: Buffer): boolean {
  return packet.length >= 12 && (packet.readUInt16BE(2) & flag.qr) === 0;
}

/** The longest that an answer may be: RFC 6891 §6.2.3 and RFC 9715 §3, as the packet itself says. */
function limitOf(query: Query, overTcp: boolean): number {
  if (overTcp) return 65_535;
  return query.edns ? Math.min(1232, Math.max(512, query.udpSize)) : 512;
}

test(`${packets} packets: no exception, each answered once if it deserves it, within its size and in form`, async (t) => {
  const random = new Random(seedOfRun());
  t.diagnostic(`FUZZ_SEED=${random.seed}`);
  const agent = new FakeAgent({
    root: { serveStale: 'Immediate', queryLogging: 'Log' },
    blocks: [{ zone: 'cluster.local', forwardDestination: 'ClusterCoreDNS', protocol: 'ForceTCP' }],
    cacheBytes: 1 << 20,
  });
  agent.upstream.respond = ({ bytes, send, fail }) => {
    agent.upstream.queries.length = 0;
    if (random.once(20)) return fail();
    const ttl = random.pick([0, 1, 5, 60]);
    const answers = random.once(4)
      ? [1, 2, 3, 4, 5, 6].map(() => txt(questionName, ttl, 'x'.repeat(200)))
      : [a(questionName, ttl, '192.0.2.7')];
    send(reply(bytes, { rcode: random.pick([0, 0, 0, 2, 3, 5]), answers }));
  };
  const judge = new Query();
  let answered = 0;
  let silent = 0;
  const verdicts = new Map<Accept, number>();

  for (let number = 0; number < packets; number += 1) {
    const packet = anyQuery(random);
    const overTcp = random.once(4);
    const verdict = judge.parse(packet);
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    const limit = limitOf(judge, overTcp);
    const deserves = deservesAnswer(packet);
    const is = (what: string) => `${what}: FUZZ_SEED=${random.seed}, packet ${number}, ${packet.toString('hex')}`;
    let ends = 0;
    const done = () => {
      ends += 1;
      if (ends > 1) assert.fail(is('ended twice'));
    };
    const client: Reply = {
      overTcp,
      client: '198.51.100.7',
      send: (message, length) => {
        done();
        answered += 1;
        if (!deserves) assert.fail(is('answered'));
        if (length > limit) assert.fail(is(`an answer of ${length} octets for ${limit}`));
        const complaint = complaintAbout(message.subarray(0, length), packet);
        if (complaint !== undefined) assert.fail(is(complaint));
      },
      drop: () => {
        done();
        silent += 1;
        if (deserves) assert.fail(is('dropped'));
      },
    };
    agent.server.serve(packet, client);
    if (number % batch === batch - 1) {
      await settle();
      await agent.clock.advance(random.pick([0, 100, 3_000]));
      agent.queryLines.length = 0;
      if (agent.exceptions.length > 0) assert.fail(is(String((agent.exceptions[0] as Error).stack)));
    }
  }
  await agent.clock.advance(10_000);
  assert.equal(agent.count('exceptions'), 0);
  assert.equal(answered + silent, packets);
  // Chance that leaves one of them out tries nothing.
  for (const verdict of Object.values(Accept)) {
    assert.ok((verdicts.get(verdict) ?? 0) > packets / 200, `verdict ${verdict}: ${verdicts.get(verdict)}`);
  }
});
