/** Upstream servers over real sockets, which lie, stutter and hang up: every client is answered in time, and nothing is left behind. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { Builder } from '../../agent/build.ts';
import { ResponseCache } from '../../agent/cache/response-cache.ts';
import { systemClock } from '../../agent/clock.ts';
import { networkTransport } from '../../agent/forward/transport.ts';
import { type ListenerPlan, listenerCounts } from '../../agent/server/plan.ts';
import { Server } from '../../agent/server/server.ts';
import { Tallies } from '../../agent/tallies.ts';
import { sampleBlock, sampleConfig } from '../fake/node-config.ts';
import { a, ednsQuery, flag, query, questionName, reply, txt, u16 } from '../fake/octets.ts';
import { eventually } from '../tools/eventually.ts';
import { hostileAnswer } from './answers.ts';
import { complaintAbout } from './form.ts';
import { packetsOfRun, Random, seedOfRun } from './random.ts';

const exchanges = packetsOfRun(600, 40_000);
const atOnce = 100;
/** The agent's own 2 s, and what a busy machine takes to notice that they are over. */
const limitMs = 3_000;

const honest = (to: Buffer) => reply(to, { answers: [a(questionName, 0, '192.0.2.7')] });
/** The answer to another question, under this one's id: nobody may get this address. */
const poison = Buffer.of(192, 0, 2, 99);
function poisoned(to: Buffer): Buffer {
  const asked = Buffer.from(to);
  asked.writeUInt8(0x7a, 13);
  return reply(asked, { answers: [a(questionName, 0, [...poison].join('.'))] });
}
const framed = (message: Buffer) => Buffer.concat([u16(message.length & 0xffff), message]);

/** What a server does with one query that came over TCP. */
function misbehave(random: Random, socket: Socket, asked: Buffer): void {
  const good = honest(asked);
  const whole = framed(good);
  switch (random.below(15)) {
    case 0:
      return void socket.write(whole.subarray(0, 1 + random.below(whole.length - 1)), () => socket.destroy());
    case 1:
      return void socket.destroy();
    case 2:
      return void socket.end();
    case 3:
      return;
    case 4:
      // Says that more comes than ever will.
      return void socket.write(Buffer.concat([u16(0xffff), good]));
    case 5:
      return void socket.write(Buffer.concat([u16(0), u16(3), random.octets(3), whole]));
    case 6:
      return void socket.write(Buffer.concat([whole, whole, whole]));
    case 7: {
      const wrongId = Buffer.from(whole);
      wrongId.writeUInt16BE(random.below(0x10000), 2);
      return void socket.write(random.once(2) ? wrongId : Buffer.concat([wrongId, whole]));
    }
    case 8:
      return void socket.write(framed(reply(asked, { flags: flag.tc | flag.ra })));
    case 9:
      for (const octet of whole) socket.write(Buffer.of(octet));
      return;
    case 10:
      return void socket.write(random.octets(1 + random.below(4_000)));
    case 11:
      return void socket.write(
        framed(reply(asked, { answers: Array.from({ length: 230 }, () => txt(questionName, 0, 'x'.repeat(255))) })),
      );
    case 13:
      return void socket.write(framed(poisoned(asked)));
    case 12:
      return void socket.write(framed(hostileAnswer(random, asked)));
    default:
      return void socket.write(whole);
  }
}

async function hostileServer(random: Random) {
  const connections = new Set<Socket>();
  const tcp = createServer((socket) => {
    connections.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => connections.delete(socket));
    let held = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
        const asked = Buffer.from(held.subarray(2, 2 + held.readUInt16BE(0)));
        held = held.subarray(2 + asked.length);
        if (!socket.destroyed) misbehave(random, socket, asked);
      }
    });
  });
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  const { port } = tcp.address() as { port: number };
  const udp = createSocket('udp4');
  const stranger = createSocket('udp4');
  udp.on('error', () => {});
  udp.on('message', (asked, { port: to }) => {
    const good = honest(asked);
    const wrongId = Buffer.from(good);
    wrongId.writeUInt16BE(random.below(0x10000), 0);
    const send = (message: Buffer) => udp.send(message, to, '127.0.0.1');
    // From elsewhere, or under another id, it is nobody's answer; the right one may come after it.
    if (random.once(4)) stranger.send(good, to, '127.0.0.1');
    if (random.once(4)) send(wrongId);
    if (random.once(4)) send(poisoned(asked));
    if (random.once(3)) send(hostileAnswer(random, asked).subarray(0, 60_000));
    if (random.once(3)) send(reply(asked, { flags: flag.tc | flag.ra }));
    if (random.once(2)) send(good);
  });
  udp.bind(port, '127.0.0.1');
  await once(udp, 'listening');
  const close = () => {
    for (const socket of connections) socket.destroy();
    tcp.close();
    udp.close();
    stranger.close();
  };
  return { endpoint: `127.0.0.1:${port}`, connections, close };
}

test(`${exchanges} queries to servers that misbehave: all answered within ${limitMs} ms, in form; no connection left`, async (t) => {
  const random = new Random(seedOfRun());
  t.diagnostic(`FUZZ_SEED=${random.seed}`);
  const hostile = [await hostileServer(random), await hostileServer(random)];
  const transport = networkTransport(systemClock);
  const exceptions: unknown[] = [];
  const cache = new ResponseCache(1 << 20);
  const builder = new Builder('node', cache, transport, systemClock, new Tallies(() => {}));
  const serverBlocks = (['ForceTCP', 'PreferTCP', 'PreferUDP'] as const).map((protocol, at) =>
    sampleBlock({ zone: ['.', 'prefer.example', 'udp.example'][at] as string, protocol, maxConcurrent: 0 }),
  );
  const listeners = sampleConfig().listeners.map((listener) => ({ ...listener, serverBlocks }));
  const clusterDns = hostile.map(({ endpoint }) => endpoint);
  const { plans } = builder.build(sampleConfig({ listeners }), { clusterDns, nodeDns: [] });
  const server = new Server(plans.get('cluster') as ListenerPlan, systemClock, new Float64Array(listenerCounts), {
    query: () => true,
    failure: () => {},
    exceptionOfSearchPath: () => {},
    privateAnswer: () => {},
    exception: (error) => exceptions.push(error),
  });
  const ask = (packet: Buffer) =>
    new Promise<Buffer>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer: ${packet.toString('hex')}`)), limitMs);
      const end = () => clearTimeout(timer);
      server.serve(Buffer.from(packet), {
        ...{ overTcp: true, client: '127.0.0.1' },
        send: (message: Buffer, length: number) => {
          end();
          resolve(Buffer.from(message.subarray(0, length)));
        },
        drop: () => {
          end();
          reject(new Error(`dropped: ${packet.toString('hex')}`));
        },
      });
    });
  let next = 0;
  const rcodes = new Map<number, number>();
  const lane = async () => {
    while (next < exchanges) {
      const name = `n${next}.${random.pick(['example', 'example', 'prefer.example', 'udp.example'])}`;
      const packet = random.once(2) ? query(name, { id: next & 0xffff }) : ednsQuery(name, {}, { id: next & 0xffff });
      next += 1;
      const answer = await ask(packet);
      assert.equal(complaintAbout(answer, packet), undefined, packet.toString('hex'));
      assert.ok(!answer.includes(poison), `the answer to another question: ${packet.toString('hex')}`);
      const rcode = answer.readUInt16BE(2) & 0xf;
      rcodes.set(rcode, (rcodes.get(rcode) ?? 0) + 1);
    }
  };
  try {
    await Promise.all(Array.from({ length: atOnce }, lane));
    assert.deepEqual(exceptions, []);
    assert.ok((rcodes.get(0) ?? 0) > exchanges / 4, JSON.stringify([...rcodes]));
    // Nobody uses these servers any more: they are not probed either.
    builder.build(sampleConfig({ listeners: [] }), { clusterDns: [], nodeDns: [] }).commit();
    transport.close();
    await eventually('every connection is closed', 5_000, () =>
      hostile.every(({ connections }) => connections.size === 0),
    );
  } finally {
    transport.close();
    for (const { close } of hostile) close();
  }
});
