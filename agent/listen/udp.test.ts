import assert from 'node:assert/strict';
import { createSocket, Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, mock, suite, test } from 'node:test';
import type { Reply } from '../server/server.ts';
import { hasBatches, openBatched } from './batched.ts';
import { openDgram } from './dgram.ts';
import { ListenError, type Listener, type ServePacket } from './listener.ts';

const loopback = { address: '127.0.0.1', port: 0 };
const longMs = 20_000;

let listeners: Listener[] = [];
let clients: Socket[] = [];

afterEach(async () => {
  for (const client of clients) client.close();
  await Promise.all(listeners.map((listener) => listener.close(0)));
  listeners = [];
  clients = [];
});

async function client(port: number): Promise<Socket> {
  const socket = createSocket('udp4');
  clients.push(socket);
  socket.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

async function received(socket: Socket): Promise<string> {
  const [message] = (await once(socket, 'message')) as [Buffer];
  return message.toString();
}

const echo: ServePacket = (packet, reply) => reply.send(packet, packet.length);

/** Both are the same to clients. */
for (const [way, openUdp, skip] of [
  ['in batches', openBatched, hasBatches() ? false : 'no system calls for batches'],
  ['through dgram', openDgram, false],
] as const) {
  suite(way, { skip }, () => {
    test('each client gets the answers to its own queries, though their memory is used again at once', async () => {
      const shared = Buffer.alloc(8);
      const listener = await openUdp(loopback, (packet, reply) => {
        packet.copy(shared);
        reply.send(shared, packet.length);
      });
      listeners.push(listener);
      const sockets = await Promise.all([client(listener.port), client(listener.port), client(listener.port)]);
      const answers = sockets.map(received);
      for (const [number, socket] of sockets.entries()) socket.send(`from ${number}`);
      assert.deepEqual(await Promise.all(answers), ['from 0', 'from 1', 'from 2']);
    });

    test('close() waits for what is in flight, and is done with the last answer', async () => {
      const waiting: Reply[] = [];
      let taken = () => {};
      const both = new Promise<void>((resolve) => {
        taken = () => waiting.length === 2 && resolve();
      });
      const listener = await openUdp(loopback, (_packet, reply) => {
        waiting.push(reply);
        taken();
      });
      const socket = await client(listener.port);
      socket.send('one');
      socket.send('two');
      await both;
      let closed = false;
      const closing = listener.close(longMs).then(() => {
        closed = true;
      });
      const answer = received(socket);
      waiting[0]?.drop();
      // Were it not to wait, it would be done long before.
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(closed, false);
      waiting[1]?.send(Buffer.from('answered'), 8);
      assert.equal(await answer, 'answered');
      await closing;
    });

    test('a query whose answer never comes holds close() up for no longer than the grace', async () => {
      let taken = () => {};
      const one = new Promise<void>((resolve) => {
        taken = resolve;
      });
      const listener = await openUdp(loopback, () => taken());
      const socket = await client(listener.port);
      socket.send('one');
      await one;
      await listener.close(20);
    });

    test('a dropped packet is not waited for', async () => {
      let taken = () => {};
      const one = new Promise<void>((resolve) => {
        taken = resolve;
      });
      const listener = await openUdp(loopback, (_packet, reply) => {
        reply.drop();
        taken();
      });
      const socket = await client(listener.port);
      socket.send('one');
      await one;
      const closingAtMs = performance.now();
      await listener.close(longMs);
      assert.ok(performance.now() - closingAtMs < longMs / 2);
    });

    test('close() serves all that the kernel has queued, however long that takes', async () => {
      // They have to fit into the client's buffer: nobody reads there meanwhile.
      const queued = 200;
      let served = 0;
      const listener = await openUdp(loopback, (packet, reply) => {
        served += 1;
        reply.send(packet, packet.length);
        // What is read in one go takes longer than any wait for the next look.
        for (const untilMs = performance.now() + 0.2; performance.now() < untilMs; );
      });
      const socket = await client(listener.port);
      let answered = 0;
      const all = new Promise<void>((resolve) => {
        socket.on('message', () => {
          answered += 1;
          if (answered === queued) resolve();
        });
      });
      for (let number = 0; number < queued; number += 1) socket.send(`${number}`);
      await listener.close(longMs);
      assert.equal(served, queued);
      await all;
    });

    test('a client that has gone away costs the others nothing', async () => {
      const waiting: Reply[] = [];
      let taken = () => {};
      const first = new Promise<void>((resolve) => {
        taken = resolve;
      });
      const listener = await openUdp(loopback, (packet, reply) => {
        if (packet.toString() !== 'gone') {
          reply.send(packet, packet.length);
          return;
        }
        waiting.push(reply);
        taken();
      });
      listeners.push(listener);
      const gone = createSocket('udp4');
      gone.send('gone', listener.port, '127.0.0.1');
      await first;
      await new Promise<void>((resolve) => gone.close(() => resolve()));
      const other = await client(listener.port);
      waiting[0]?.send(Buffer.from('x'), 1);
      const answer = received(other);
      other.send('here');
      assert.equal(await answer, 'here');
    });

    test('an answer that the kernel does not take is told of once, and one that comes after the close is, too', async () => {
      const told: string[] = [];
      const waiting: Reply[] = [];
      const serve: ServePacket = (_packet, reply) => waiting.push(reply);
      const listener = await openUdp(loopback, serve, (what) => told.push(what));
      const socket = await client(listener.port);
      socket.send('one');
      socket.send('two');
      while (waiting.length < 2) await new Promise((resolve) => setImmediate(resolve));
      // More than a datagram has room for.
      waiting[0]?.send(Buffer.alloc(65_530), 65_530);
      while (told.length === 0) await new Promise((resolve) => setImmediate(resolve));
      await listener.close(20);
      assert.deepEqual(told, ['unsent']);
      waiting[1]?.send(Buffer.from('late'), 4);
      assert.deepEqual(told, ['unsent', 'unsent']);
    });

    test('a port in use: the message names port, transport and how to find who has it', async () => {
      const listener = await openUdp(loopback, echo);
      listeners.push(listener);
      const { port } = listener;
      await assert.rejects(openUdp({ address: '127.0.0.1', port }, echo), (error: unknown) => {
        assert.ok(error instanceof ListenError);
        assert.equal(error.code, 'EADDRINUSE');
        assert.match(
          error.message,
          new RegExp(`127\\.0\\.0\\.1 port ${port} \\(UDP\\): .*'ss -ulpn sport = :${port}'`),
        );
        return true;
      });
    });

    test('an address of no interface: the message says so', async () => {
      await assert.rejects(openUdp({ address: '192.0.2.99', port: 0 }, echo), {
        code: 'EADDRNOTAVAIL',
        message: 'cannot listen on 192.0.2.99 port 0 (UDP): no interface of this node has the address',
      });
    });
  });
}

test('a packet from port 0, where no answer can go, is not served', async () => {
  const { bind } = Socket.prototype;
  const bound: Socket[] = [];
  mock.method(Socket.prototype, 'bind', function (this: Socket, ...at: unknown[]) {
    bound.push(this);
    return Reflect.apply(bind, this, at);
  });
  const served: string[] = [];
  const told: string[] = [];
  const serve: ServePacket = (packet) => served.push(packet.toString());
  listeners.push(await openDgram(loopback, serve, (what) => told.push(what)));
  mock.restoreAll();
  bound[0]?.emit('message', Buffer.from('forged'), { address: '127.0.0.1', family: 'IPv4', port: 0, size: 6 });
  bound[0]?.emit('message', Buffer.from('real'), { address: '127.0.0.1', family: 'IPv4', port: 9, size: 4 });
  assert.deepEqual([served, told], [['real'], ['forged']]);
});
