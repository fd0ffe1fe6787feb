/** Answers that are small for whoever sends them, and dear for whoever reads them: their cost is bounded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../fake/agent.ts';
import { settle } from '../fake/clock.ts';
import { a, encodeName, query, questionName, record, reply, soa, u16 } from '../fake/octets.ts';

/** Some ten times what the dearest takes on a slow machine; what was wrong with them took thirty times as much. */
const limitMs = 150;
const most = 65_535;

/** Names of one label and a pointer to the one before: the last is as long as all of them together. */
function ladder(to: Buffer, ofRung: (owner: Buffer) => Buffer, until: number): { rungs: Buffer[]; top: Buffer } {
  const rungs: Buffer[] = [];
  let at = to.length - 11;
  let top: Buffer = questionName;
  while (at < until) {
    const rung = ofRung(Buffer.concat([Buffer.of(60), Buffer.alloc(60, 0x61), top]));
    top = u16(0xc000 | at);
    at += rung.length;
    rungs.push(rung);
  }
  return { rungs, top };
}

const fill = (to: Buffer, taken: readonly Buffer[], ofRecord: (at: number) => Buffer) => {
  const length = taken.reduce((sum, { length }) => sum + length, to.length - 11);
  return Array.from({ length: Math.floor((most - length - 20) / ofRecord(0).length) }, (_, at) => ofRecord(at));
};

const bombs: Readonly<Record<string, (to: Buffer) => Buffer>> = {
  'thousands of owners that are one long ladder of pointers': (to) => {
    const { rungs, top } = ladder(to, (owner) => a(owner, 60, '192.0.2.1'), 0x3f00);
    return reply(to, { answers: [...rungs, ...fill(to, rungs, (at) => a(top, 61 + (at % 9), '192.0.2.1'))] });
  },
  'thousands of records of one set, no TTL like the one before': (to) =>
    reply(to, { answers: fill(to, [], (at) => record(questionName, 1, 60 + (at % 50), Buffer.alloc(0))) }),
  'thousands of sets': (to) =>
    reply(to, { answers: fill(to, [], (at) => record(questionName, 1, 60 + (at % 50), Buffer.alloc(0), at)) }),
  'a SOA record whose names are ladders': (to) => {
    const { rungs, top } = ladder(to, (owner) => a(owner, 60, '192.0.2.1'), 0x3f00);
    const data = Buffer.concat([top, top, Buffer.alloc(20, 1)]);
    const authorities = [record(encodeName('cluster.local'), 6, 60, data), soa('cluster.local', 60, 60)];
    return reply(to, { rcode: 3, answers: rungs, authorities });
  },
};

for (const [name, bomb] of Object.entries(bombs)) {
  test(`${name}: at most ${limitMs} ms`, async () => {
    const agent = new FakeAgent({
      root: { protocol: 'ForceTCP' },
      blocks: [{ zone: 'cluster.local', protocol: 'ForceTCP' }],
      local: {
        searchPath: 'Spec',
        rebind: { mode: 'Enforce', allowedDomains: [], allowLoopback: true, extraPrefixes: [] },
      },
    });
    agent.upstream.answer = ({ bytes }) => bomb(bytes);
    const times: number[] = [];
    for (const domain of ['example', 'x.y.z.ns.svc.cluster.local', 'example']) {
      const message = bomb(query(domain));
      assert.ok(message.length <= most, String(message.length));
      const before = process.cpuUsage();
      const asked = agent.ask(query(`n${times.length}.${domain}`), true);
      await settle();
      const { user, system } = process.cpuUsage(before);
      times.push((user + system) / 1000);
      assert.ok(asked.answer !== undefined);
    }
    assert.deepEqual(agent.exceptions, []);
    // Chance and the compiler make one of them slow; an attack makes all of them so.
    assert.ok(Math.min(...times) <= limitMs, times.map((ms) => ms.toFixed(0)).join(', '));
  });
}
