/** RFC 1035 §4.2.2: over TCP a message "is prefixed with a two byte length field"; §4.2.1: UDP carries 512 octets, TCP what that field says. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { openTcp } from '../../../agent/listen/tcp.ts';
import { FakeAgent } from '../../fake/agent.ts';
import { query, questionName, record, reply, u16 } from '../../fake/octets.ts';

test('an answer of 65,535 octets comes whole over TCP, to a query that comes octet by octet', async () => {
  const agent = new FakeAgent();
  const packet = query('a', { type: 65_400 });
  const data = Buffer.alloc(65_535 - packet.length - 12, 7);
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [record(questionName, 65_400, 60, data)] });
  const listener = await openTcp({ address: '127.0.0.1', port: 0 }, (taken, to) => agent.server.serve(taken, to));
  const socket = connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  try {
    for (const octet of [...u16(packet.length), ...packet]) socket.write(Buffer.of(octet));
    socket.end();
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(socket, 'end');
    const received = Buffer.concat(chunks);
    assert.equal(received.readUInt16BE(0), 65_535);
    assert.equal(received.length, 2 + 65_535);
    assert.ok(received.subarray(-data.length).equals(data));
  } finally {
    socket.destroy();
    await listener.close(0);
  }
});
