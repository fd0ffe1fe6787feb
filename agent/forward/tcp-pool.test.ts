import { deepEqual, equal, fail, ok, rejects } from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { FakeClock, settle } from '../../test/fake/clock.ts';
import { buildAnswer, buildQuery, readMessage } from '../../test/fake/message.ts';
import { SocketUpstream } from '../../test/fake/socket-upstream.ts';
import { eventually } from '../../test/tools/eventually.ts';
import { TcpPools } from './tcp-pool.ts';
import { promised } from './transport.ts';

const address = '127.0.0.1';
const timeoutMs = 2_000;
const withinMs = 5_000;

suite('connections to an upstream over TCP', () => {
  let upstream: SocketUpstream;
  let clock: FakeClock;
  let pools: TcpPools;

  beforeEach(async () => {
    upstream = await new SocketUpstream().open();
    clock = new FakeClock();
    pools = new TcpPools(clock);
  });
  afterEach(async () => {
    pools.close();
    await upstream.close();
  });

  const ask = (name: string) =>
    promised((asker) => pools.ask({ address, port: upstream.port }, buildQuery({ name, id: 0 }), timeoutMs, asker));
  const received = (count: number) => eventually(`${count} queries`, withinMs, () => upstream.queries.length >= count);
  const answer = (index: number) => {
    const query = upstream.queries[index];
    query?.answer({ answers: [`${query.question.name} 60 A 192.0.2.${index + 1}`] });
  };
  const answersOf = async (reply: Promise<Buffer>) => readMessage(await reply).answers;

  test('carry many queries at once, under different ids, answered in any order', async () => {
    const replies = ['a.example', 'b.example', 'c.example'].map(ask);
    await received(3);
    for (const index of [2, 0, 1]) answer(index);
    deepEqual(await Promise.all(replies.map(answersOf)), [
      ['a.example 60 A 192.0.2.1'],
      ['b.example 60 A 192.0.2.2'],
      ['c.example 60 A 192.0.2.3'],
    ]);
    equal(upstream.accepted, 1);
    equal(new Set(upstream.queries.map(({ bytes }) => bytes.readUInt16BE(0))).size, 3);
    await clock.advance(5);
    equal(clock.pending, 1, 'nothing of an answered query is left, only the look at idle connections');
  });

  test('discard answers with another id or another question', async () => {
    const reply = ask('www.example');
    await received(1);
    const { bytes, send } = upstream.queries[0] ?? ({} as never);
    const forged = buildAnswer(bytes, { answers: ['www.example 60 A 192.0.2.66'] });
    forged.writeUInt16BE(bytes.readUInt16BE(0) ^ 1, 0);
    send(forged);
    send(buildAnswer(buildQuery({ name: 'other.example', id: bytes.readUInt16BE(0) }), {}));
    send(Buffer.alloc(3));
    answer(0);
    deepEqual(await answersOf(reply), ['www.example 60 A 192.0.2.1']);
  });

  test('are a few, not one deep queue and not one for each query', async () => {
    const replies = Array.from({ length: 60 }, (_, index) => ask(`n${index}.example`));
    await received(60);
    equal(upstream.accepted, 4);
    for (const index of upstream.queries.keys()) answer(index);
    await Promise.all(replies);
  });

  test('lost under a query cost one retry, which nobody sees', async () => {
    const first = ask('www.example');
    await received(1);
    answer(0);
    await first;
    const second = ask('again.example');
    await received(2);
    for (const socket of upstream.connections) socket.destroy();
    await received(3);
    equal(upstream.queries[2]?.question.name, 'again.example');
    answer(2);
    deepEqual(await answersOf(second), ['again.example 60 A 192.0.2.3']);
  });

  test('lost again under the retry fail the query', async () => {
    const lost = rejects(ask('www.example'), { code: 'NETWORK' });
    for (const count of [1, 2]) {
      await received(count);
      for (const socket of upstream.connections) socket.destroy();
    }
    await lost;
    equal(upstream.queries.length, 2);
  });

  test('that were open when one was lost carry nothing new: the retry is sent over a new one', async () => {
    // Two connections: nine queries, since eight share one.
    const replies = Array.from({ length: 9 }, (_, index) => ask(`n${index}.example`));
    await received(9);
    for (const index of upstream.queries.keys()) answer(index);
    await Promise.all(replies);
    const [firstOpened, second] = [...upstream.connections];
    equal(upstream.accepted, 2);
    const late = ask('late.example');
    await received(10);
    // The second is dead as well, and says so only when something is sent.
    second?.pause();
    firstOpened?.destroy();
    await received(11);
    answer(10);
    deepEqual(await answersOf(late), ['late.example 60 A 192.0.2.11']);
    equal(upstream.accepted, 3);
  });

  test('are left for new ones once the upstream has gone silent', async () => {
    const first = ask('www.example');
    const failed = rejects(first, { code: 'TIMEOUT', message: `no reply over TCP within ${timeoutMs} ms` });
    await received(1);
    await clock.advance(timeoutMs);
    await failed;
    const second = ask('again.example');
    await received(2);
    equal(upstream.accepted, 2);
    answer(1);
    await second;
    await eventually('the close', withinMs, () => upstream.connections.size === 1);
  });

  test('survive a query without an answer when others were answered meanwhile', async () => {
    // Out of order: this server holds nothing up, and one connection does.
    const replies = ['a.example', 'b.example', 'c.example'].map(ask);
    const failed = rejects(replies[2] ?? fail(), { code: 'TIMEOUT' });
    await received(3);
    for (const index of [1, 0]) answer(index);
    await Promise.all(replies.slice(0, 2));
    await clock.advance(100);
    const fast = ask('fast.example');
    await received(4);
    answer(3);
    await fast;
    await clock.advance(1_900);
    await failed;
    const next = ask('next.example');
    await received(5);
    answer(4);
    await next;
    equal(upstream.accepted, 1);
  });

  test('close once they were idle for six seconds, and not while anything is under way', async () => {
    const first = ask('www.example');
    await received(1);
    answer(0);
    await first;
    await clock.advance(5_000);
    const second = ask('again.example');
    await received(2);
    await clock.advance(1_500);
    answer(1);
    await second;
    await clock.advance(5_999);
    equal(upstream.connections.size, 1);
    await clock.advance(1);
    await eventually('the close', withinMs, () => upstream.connections.size === 0);
    equal(clock.pending, 0);
    const third = ask('new.example');
    await received(3);
    answer(2);
    await third;
    equal(upstream.accepted, 2);
  });

  test('fail at once where the port is closed', async () => {
    await upstream.close();
    await rejects(ask('www.example'), { code: 'NETWORK' });
    await clock.advance(5);
    await eventually('no timer', withinMs, () => clock.pending === 0);
  });
});

suite('frames', () => {
  test('may be split between any two octets and joined with the next', async () => {
    const clock = new FakeClock();
    const pools = new TcpPools(clock);
    const sockets: Socket[] = [];
    const chunks: Buffer[] = [];
    const server = createServer((socket) => {
      sockets.push(socket.setNoDelay(true));
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    });
    await new Promise<void>((resolve) => server.listen(0, address, resolve));
    const bound = server.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
    const replies = ['a.example', 'b.example'].map((name) =>
      promised((asker) => pools.ask({ address, port }, buildQuery({ name, id: 0 }), timeoutMs, asker)),
    );
    const size = 2 + buildQuery({ name: 'a.example' }).length;
    // The first of a connection has the option edns-tcp-keepalive, of four octets.
    const sent = await eventually('both queries', withinMs, () => {
      const all = Buffer.concat(chunks);
      return all.length === 2 * size + 4 && all;
    });
    const frames = Buffer.concat(
      [sent.subarray(2, size + 4), sent.subarray(size + 6)].map((query, index) => {
        const message = buildAnswer(query, { answers: [`x.example 60 A 192.0.2.${index + 1}`] });
        const length = Buffer.alloc(2);
        length.writeUInt16BE(message.length);
        return Buffer.concat([length, message]);
      }),
    );
    // All octets but the second frame's last ones singly; these in one piece.
    for (const octet of frames.subarray(0, -10)) {
      sockets[0]?.write(Buffer.of(octet));
      await settle();
    }
    sockets[0]?.write(frames.subarray(-10));
    deepEqual(
      (await Promise.all(replies)).map((reply) => readMessage(reply).answers),
      [['x.example 60 A 192.0.2.1'], ['x.example 60 A 192.0.2.2']],
    );
    pools.close();
    await eventually('the close', withinMs, () => sockets[0]?.destroyed || sockets[0]?.readableEnded);
    ok(sockets.length === 1);
    sockets[0]?.destroy();
    server.close();
  });
});
