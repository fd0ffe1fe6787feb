/**
 * RFC 7828 §3.3.1: over UDP a server "MUST ignore the option"; §3.3.2: over TCP it "MAY include the edns-tcp-keepalive option in the
 * response to signal the expected idle timeout on a connection", which ours does for those who sent it; with "a timeout of 0 if [...]
 * it wants clients to close currently open connections".
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { openTcp } from '../../../agent/listen/tcp.ts';
import { type TcpBounds, TcpLoad } from '../../../agent/listen/tcp-load.ts';
import { FakeAgent } from '../../fake/agent.ts';
import { readMessage } from '../../fake/message.ts';
import { a, ednsQuery, query, questionEnd, questionName, reply, u16 } from '../../fake/octets.ts';

const keepalive = 11;
const empty = [{ code: keepalive, data: Buffer.alloc(0) }];

/** In units of 100 ms; undefined where the answer has no such option. */
const told = (answer: Buffer) =>
  readMessage(answer)
    .edns?.options.find(({ code }) => code === keepalive)
    ?.data.readUInt16BE();

function served(): FakeAgent {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
  return agent;
}

async function connected(
  agent: FakeAgent,
  bounds: Partial<TcpBounds>,
  act: (ask: (packet: Buffer) => Promise<Buffer>, socket: Socket, close: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const at = { address: '127.0.0.1', port: 0 };
  const listener = await openTcp(
    at,
    (packet, to) => agent.server.serve(packet, to),
    () => {},
    new TcpLoad(bounds),
  );
  const socket = connect({ port: listener.port, host: '127.0.0.1' });
  const ask = async (packet: Buffer) => {
    socket.write(Buffer.concat([u16(packet.length), packet]));
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    return chunk.subarray(2);
  };
  try {
    await act(ask, socket, () => listener.close(10_000));
  } finally {
    socket.destroy();
    await listener.close(0);
  }
}

test('over TCP, who sent the option is told how long an idle connection is kept, forwarded and cached; others are not', async () => {
  const agent = served();
  await connected(agent, { idleTimeoutMs: 12_345 }, async (ask) => {
    for (const what of ['forwarded', 'cached'])
      assert.equal(told(await ask(ednsQuery('a', { options: empty }))), 123, what);
    assert.equal(told(await ask(ednsQuery('a'))), undefined);
    assert.equal(told(await ask(ednsQuery('localhost', { options: empty }))), 123);
    assert.equal((await ask(query('a'))).readUInt16BE(10), 0, 'without EDNS');
  });
  const { bytes } = agent.upstream.last;
  assert.equal(bytes.length, questionEnd(bytes) + 11, 'it is hop by hop');
});

test('the timeout that is told is the one that is kept', async () => {
  await connected(served(), { idleTimeoutMs: 500 }, async (ask, socket) => {
    // It is idle from a moment on that lies between the question and the arrival of its answer.
    const askedAtMs = performance.now();
    assert.equal(told(await ask(ednsQuery('a', { options: empty }))), 5);
    await once(socket, 'close');
    const lastedMs = performance.now() - askedAtMs;
    assert.ok(lastedMs >= 490, `closed after ${lastedMs} ms`);
  });
});

test('a connection that is to end says so', async () => {
  await connected(served(), { drainIdleMs: 10_000 }, async (ask, socket, close) => {
    await ask(ednsQuery('a'));
    const closed = close();
    assert.equal(told(await ask(ednsQuery('a', { options: empty }))), 0);
    socket.end();
    await closed;
  });
});

test('over UDP the option is ignored, and so is one that names a timeout, which clients do not', async () => {
  const agent = served();
  assert.equal(told(await agent.octets(ednsQuery('a', { options: empty }))), undefined);
  await connected(agent, {}, async (ask) => {
    assert.equal(told(await ask(ednsQuery('a', { options: [{ code: keepalive, data: u16(100) }] }))), undefined);
  });
});
