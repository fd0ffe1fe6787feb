import { deepEqual, equal, notEqual, rejects } from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { after, beforeEach, suite, test } from 'node:test';
import { FakeClock } from '../../test/fake/clock.ts';
import { buildAnswer, buildQuery, readMessage } from '../../test/fake/message.ts';
import { SocketUpstream } from '../../test/fake/socket-upstream.ts';
import { eventually } from '../../test/tools/eventually.ts';
import { type Clock, systemClock } from '../clock.ts';
import type { ServerAddress } from './exchange-error.ts';
import { promised } from './transport.ts';
import { udpExchange } from './udp-exchange.ts';

const address = '127.0.0.1';
const query = buildQuery({ name: 'www.example', id: 0 });
const good = ['www.example 60 A 192.0.2.1'];

function asked(server: ServerAddress, message: Buffer, timeoutMs: number, clock: Clock): Promise<Buffer> {
  return promised((asker) => udpExchange(server, message, timeoutMs, asker, clock));
}

suite('an exchange over UDP', async () => {
  const upstream = await new SocketUpstream().open();
  const server = { address, port: upstream.port };
  after(() => upstream.close());
  beforeEach(() => upstream.queries.splice(0));

  const answersOf = async (reply: Promise<Buffer>) => readMessage(await reply).answers;

  test('draws a new id and a new source port for each query', async () => {
    const ports = new Set<number>();
    const socket = createSocket('udp4');
    socket.bind(0, address);
    await once(socket, 'listening');
    const ids = new Set<number>();
    socket.on('message', (bytes, remote) => {
      ports.add(remote.port);
      ids.add(bytes.readUInt16BE(0));
      socket.send(buildAnswer(bytes, { answers: good }), remote.port, remote.address);
    });
    const { port } = socket.address();
    await Promise.all(Array.from({ length: 8 }, () => asked({ address, port }, query, 5_000, systemClock)));
    socket.close();
    notEqual(ids.size, 1);
    equal(ports.size, 8);
    equal(query.readUInt16BE(0), 0, 'the caller keeps its message');
  });

  test('discards wrong ids, wrong questions, queries and scraps, and waits on for the answer', async () => {
    upstream.respond = ({ bytes, send }) => {
      const wrongId = buildAnswer(bytes, { answers: ['www.example 60 A 192.0.2.66'] });
      wrongId.writeUInt16BE(bytes.readUInt16BE(0) ^ 1, 0);
      send(wrongId);
      const id = bytes.readUInt16BE(0);
      for (const parts of [{ name: 'other.example' }, { name: 'www.example', type: 'AAAA' }] as const) {
        send(buildAnswer(buildQuery({ ...parts, id }), { answers: ['www.example 60 A 192.0.2.67'] }));
      }
      send(bytes);
      send(bytes.subarray(0, 5));
      const withoutQuestion = Buffer.alloc(12);
      withoutQuestion.writeUInt16BE(id, 0);
      withoutQuestion.writeUInt16BE(0x8180, 2);
      send(withoutQuestion);
      send(buildAnswer(bytes, { answers: good }));
    };
    deepEqual(await answersOf(asked(server, query, 5_000, systemClock)), good);
  });

  test('takes an error that comes without its question', async () => {
    upstream.respond = ({ bytes, send }) => {
      const formErr = Buffer.alloc(12);
      formErr.writeUInt16BE(bytes.readUInt16BE(0), 0);
      formErr.writeUInt16BE(0x8181, 2);
      send(formErr);
    };
    const reply = await asked(server, query, 5_000, systemClock);
    equal(reply.readUInt16BE(2) & 0xf, 1);
  });

  test('discards an answer from elsewhere', async () => {
    const stranger = createSocket('udp4');
    const clients = createSocket('udp4');
    clients.bind(0, address);
    await once(clients, 'listening');
    clients.on('message', (bytes, remote) => {
      const forged = buildAnswer(bytes, { answers: ['www.example 60 A 192.0.2.66'] });
      stranger.send(forged, remote.port, remote.address, () => {
        clients.send(buildAnswer(bytes, { answers: good }), remote.port, remote.address);
      });
    });
    const { port } = clients.address();
    deepEqual(await answersOf(asked({ address, port }, query, 5_000, systemClock)), good);
    stranger.close();
    clients.close();
  });

  test('leaves from our own address where the server has another one of this machine', async () => {
    const elsewhere = createSocket('udp4');
    elsewhere.bind(0, '127.0.0.2');
    await once(elsewhere, 'listening');
    const sources: string[] = [];
    elsewhere.on('message', (bytes, remote) => {
      sources.push(remote.address);
      elsewhere.send(buildAnswer(bytes, { answers: good }), remote.port, remote.address);
    });
    const { port } = elsewhere.address();
    deepEqual(await answersOf(asked({ address: '127.0.0.2', port }, query, 5_000, systemClock)), good);
    deepEqual(sources, [address]);
    elsewhere.close();
  });

  test('fails when its time is over, and not before', async () => {
    upstream.respond = () => {};
    const clock = new FakeClock();
    const exchange = asked(server, query, 300, clock);
    const failed = rejects(exchange, { code: 'TIMEOUT', message: 'no reply over UDP within 300 ms' });
    await clock.advance(299);
    await eventually('the query', 5_000, () => upstream.queries.length === 1);
    equal(clock.pending, 1);
    await clock.advance(1);
    await failed;
  });

  test('fails at once where the port is closed', async () => {
    const closed = await new SocketUpstream().open();
    await closed.close();
    const clock = new FakeClock();
    await rejects(asked({ address, port: closed.port }, query, 2_000, clock), { code: 'NETWORK' });
    equal(clock.pending, 0);
  });

  test('fails, and breaks nothing, where there is no way to the server', async () => {
    // Without leave to broadcast the kernel refuses the connection of the socket itself.
    await rejects(asked({ address: '255.255.255.255', port: 53 }, query, 2_000, systemClock), {
      code: 'NETWORK',
    });
  });

  test('goes to IPv6 servers as well', async (context) => {
    const socket: Socket = createSocket('udp6');
    socket.bind(0, '::1');
    try {
      await once(socket, 'listening');
    } catch {
      context.skip('this machine has no IPv6');
      return;
    }
    socket.on('message', (bytes, remote) => socket.send(buildAnswer(bytes, { answers: good }), remote.port, '::1'));
    const { port } = socket.address();
    deepEqual(await answersOf(asked({ address: '::1', port }, query, 5_000, systemClock)), good);
    socket.close();
  });
});
