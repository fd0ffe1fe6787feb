/** RFC 9210 §4, RFC 7766 §6.2.3: an idle period is to be "on the order of seconds"; bounds on connections keep room for others. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { openTcp } from '../../../agent/listen/tcp.ts';
import { TcpLoad } from '../../../agent/listen/tcp-load.ts';
import { FakeAgent } from '../../fake/agent.ts';
import { a, query, questionName, read, reply, u16 } from '../../fake/octets.ts';

test('idle connections close after some seconds, and one client has a part of all connections', () => {
  const { idleTimeoutMs, maxConnections, maxConnectionsPerClient } = new TcpLoad().bounds;
  assert.ok(idleTimeoutMs >= 2_000 && idleTimeoutMs <= 60_000);
  assert.ok(maxConnectionsPerClient <= maxConnections / 4);
});

test('a house full of idle connections, and clients that ask and never read, hold nobody up', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  const load = new TcpLoad({ maxConnections: 20, maxConnectionsPerClient: 10 });
  const at = { address: '127.0.0.1', port: 0 };
  const listener = await openTcp(
    at,
    (packet, to) => agent.server.serve(packet, to),
    () => {},
    load,
  );
  const sockets: Socket[] = [];
  const open = async (localAddress: string) => {
    const socket = connect({ port: listener.port, host: '127.0.0.1', localAddress });
    socket.on('error', () => {});
    sockets.push(socket);
    await once(socket, 'connect');
    return socket;
  };
  const packet = query('a');
  const frame = Buffer.concat([u16(packet.length), packet]);
  try {
    for (let number = 0; number < 9; number += 1) {
      await open('127.0.0.2');
      await open('127.0.0.3');
    }
    const mute = await open('127.0.0.4');
    mute.pause();
    mute.write(Buffer.concat(Array.from({ length: 2_000 }, () => frame)));
    for (let client = 5; client < 15; client += 1) {
      const socket = await open(`127.0.0.${client}`);
      socket.write(frame);
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      assert.deepEqual(read(chunk.subarray(2)).answers, ['a 60 A 192.0.2.7']);
    }
  } finally {
    for (const socket of sockets) socket.destroy();
    await listener.close(0);
  }
});
