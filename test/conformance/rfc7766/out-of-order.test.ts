/**
 * RFC 7766 §6.2.1.1: "a server MUST NOT ... delay" later queries behind one that takes long; §7: responses may come "out of
 * order"; §6.2.4: a client that has closed its half still waits for its answers.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { openTcp } from '../../../agent/listen/tcp.ts';
import { FakeAgent } from '../../fake/agent.ts';
import { a, query, questionName, reply, u16 } from '../../fake/octets.ts';

test('queries on one connection are answered as their answers come, the last one after the client’s end', async () => {
  const agent = new FakeAgent();
  const answers = [a(questionName, 60, '192.0.2.7')];
  agent.upstream.answer = ({ bytes }) => (bytes.includes('slow') ? undefined : reply(bytes, { answers }));
  const listener = await openTcp({ address: '127.0.0.1', port: 0 }, (packet, to) => agent.server.serve(packet, to));
  const socket = connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true });
  try {
    const asked = ['slow', 'fast-1', 'fast-2'].map((name, id) => query(`${name}.example`, { id }));
    socket.end(Buffer.concat(asked.flatMap((packet) => [u16(packet.length), packet])));
    const ids: number[] = [];
    let received = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        ids.push(received.readUInt16BE(2));
        received = received.subarray(2 + received.readUInt16BE(0));
      }
      if (ids.length === 2) {
        const slow = agent.upstream.queries.find(({ bytes }) => bytes.includes('slow'));
        slow?.send(reply(slow.bytes, { answers }));
      }
    });
    await once(socket, 'end');
    assert.deepEqual(ids, [1, 2, 0]);
  } finally {
    socket.destroy();
    await listener.close(0);
  }
});
