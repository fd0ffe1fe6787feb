/**
 * One answer of a second among a thousand fast ones, from a server that answers each connection one query after the other: the
 * whole serving half of an agent before it. In virtual time for the figures, and once over real sockets.
 */
import { equal, ok, rejects } from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Builder } from '../../../agent/build.ts';
import { ResponseCache } from '../../../agent/cache/response-cache.ts';
import { type Clock, systemClock } from '../../../agent/clock.ts';
import { unmarked } from '../../../agent/forward/outgoing.ts';
import { transportOver } from '../../../agent/forward/transport.ts';
import { listenerCounts } from '../../../agent/server/plan.ts';
import { Server } from '../../../agent/server/server.ts';
import { Tallies } from '../../../agent/tallies.ts';
import type { NodeConfig } from '../../../api/v1alpha1/node-config.ts';
import { FakeClock } from '../../fake/clock.ts';
import { buildQuery, readMessage } from '../../fake/message.ts';
import { sampleBlock } from '../../fake/node-config.ts';
import { SerialServer } from '../../fake/serial-server.ts';
import { Exceptions } from '../stage.ts';

const slowMs = 1_000;
const fastMs = 0.05;
const workMs = (name: string) => (name.startsWith('slow') ? slowMs : fastMs);
const block = { zone: '.', protocol: 'ForceTCP', maxConcurrent: 0 } as const;

class Agent {
  readonly #server: Server;
  readonly #clock: Clock;
  readonly exceptions = new Exceptions();

  constructor(clock: Clock, endpoint: string, outgoing = unmarked) {
    const config = {
      formatVersion: 1,
      clusterDomain: 'cluster.local',
      clusterDNS: { namespace: '', service: '', addresses: [] },
      listeners: [
        {
          name: 'cluster',
          addresses: ['127.0.0.1'],
          intercept: false,
          tracked: false,
          serverBlocks: [sampleBlock(block)],
        },
      ],
      upstreams: [],
    } as unknown as NodeConfig;
    const builder = new Builder(
      'node',
      new ResponseCache(1 << 20),
      transportOver(clock, outgoing),
      clock,
      new Tallies(() => {}),
    );
    const { plans } = builder.build(config, { clusterDns: [endpoint], nodeDns: [] });
    const plan = plans.get('cluster');
    if (plan === undefined) throw new Error('no plan');
    this.#clock = clock;
    this.#server = new Server(plan, clock, new Float64Array(listenerCounts), this.exceptions.log);
  }

  /** How long the answer took. */
  ask(name: string, client = '198.51.100.1'): Promise<number> {
    return new Promise((resolve, reject) => {
      const sinceMs = this.#clock.nowMs();
      this.#server.serve(buildQuery({ name }), {
        overTcp: false,
        client,
        send: (message, length) => {
          const { rcode } = readMessage(Buffer.from(message.subarray(0, length)));
          if (rcode === 'NOERROR') resolve(this.#clock.nowMs() - sinceMs);
          else reject(new Error(`${name}: ${rcode}`));
        },
        drop: () => reject(new Error(`${name}: dropped`)),
      });
    });
  }
}

function percentile(values: readonly number[], part: number): number {
  return [...values].sort((a, b) => a - b)[Math.ceil(values.length * part) - 1] ?? Number.NaN;
}

const fastNames = Array.from({ length: 1_000 }, (_, index) => `n${index}.example`);

suite('one answer of a second among a thousand fast ones', () => {
  for (const { title, gapMs, before } of [
    { title: 'all asked at once, the slow one first', gapMs: 0, before: 0 },
    { title: 'all asked at once, the slow one in their midst', gapMs: 0, before: 500 },
    { title: 'one each millisecond', gapMs: 1, before: 3 },
    { title: 'twenty each millisecond', gapMs: 0.05, before: 200 },
  ]) {
    test(`${title}: 99 of 100 of the fast ones take less than 20 ms`, async () => {
      const clock = new FakeClock();
      const server = new SerialServer(clock, { workMs });
      const agent = new Agent(clock, '192.0.2.1:53', server.outgoing(0.3));
      const fast: Promise<number>[] = [];
      let slow = Promise.resolve(0);
      for (const [index, name] of fastNames.entries()) {
        if (index === before) slow = agent.ask('slow.example');
        fast.push(agent.ask(name));
        if (gapMs > 0) await clock.advance(gapMs);
      }
      await clock.advance(slowMs + 100);
      const took = await Promise.all(fast);
      ok(percentile(took, 0.99) < 20, `p99 ${percentile(took, 0.99)} ms`);
      ok(Math.max(...took) < 40, `slowest ${Math.max(...took)} ms`);
      ok((await slow) >= slowMs);
      // What waited behind the slow one has been asked twice, and little else.
      ok(server.received.length < 1_001 + 64, `${server.received.length} queries`);
      ok(server.mostConnections <= 6, `${server.mostConnections} connections`);
      equal(agent.exceptions.seen.length, 0);
    });
  }

  test('over real sockets: the fast ones are all answered while the slow one is out', async () => {
    const server = new SerialServer(systemClock, {
      workMs: (name) => (name.startsWith('slow') ? Number.POSITIVE_INFINITY : 0),
    });
    try {
      const agent = new Agent(systemClock, `127.0.0.1:${await server.listen()}`);
      const slow = rejects(agent.ask('slow.example'), /SERVFAIL/);
      // Behind it, each of them would be SERVFAIL as well.
      await Promise.all(fastNames.map((name) => agent.ask(name)));
      await slow;
      equal(agent.exceptions.seen.length, 0);
    } finally {
      await server.close();
    }
  });
});

suite('one client’s unanswerable names beside another’s', () => {
  const isUnanswerable = (name: string) => name.startsWith('slow');
  const answers = { workMs: (name: string) => (isUnanswerable(name) ? Number.POSITIVE_INFINITY : fastMs) };
  const flooder = '198.51.100.2';

  test('a hundred a second: each of the other’s is answered, and 99 of 100 in less than 20 ms', async () => {
    const clock = new FakeClock();
    const agent = new Agent(clock, '192.0.2.1:53', new SerialServer(clock, answers).outgoing(0.3));
    const fast: Promise<number>[] = [];
    for (const [turn, name] of fastNames.slice(0, 500).entries()) {
      agent.ask(`slow${turn}.example`, flooder).catch(() => {});
      await clock.advance(3);
      fast.push(agent.ask(name));
      await clock.advance(7);
    }
    await clock.advance(2_000);
    const took = await Promise.all(fast);
    ok(percentile(took, 0.99) < 20, `p99 ${percentile(took, 0.99)} ms`);
    equal(agent.exceptions.seen.length, 0);
  });

  test('over real sockets: fifty at once, and the other’s are all answered while they are out', async () => {
    const server = new SerialServer(systemClock, {
      workMs: (name) => (isUnanswerable(name) ? Number.POSITIVE_INFINITY : 0),
    });
    try {
      const agent = new Agent(systemClock, `127.0.0.1:${await server.listen()}`);
      let ended = 0;
      const flood = Array.from({ length: 50 }, (_, index) =>
        rejects(agent.ask(`slow${index}.example`, flooder), /SERVFAIL/).then(() => {
          ended += 1;
        }),
      );
      await Promise.all(fastNames.slice(0, 100).map((name) => agent.ask(name)));
      equal(ended, 0);
      await Promise.all(flood);
    } finally {
      await server.close();
    }
  });
});
