/** What clients may have under way, and who gives way where that is all. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../test/fake/clock.ts';
import { eventually } from '../../test/tools/eventually.ts';
import type { ServePacket } from './listener.ts';
import {
  answer,
  bystander,
  Client,
  echo,
  frame,
  held,
  idle,
  listen,
  longMs,
  mishaps,
  mute,
  room,
  send,
  short,
} from './tcp-client.fake.ts';
import { kept } from './tcp-connection.ts';
import { type TcpBounds, TcpLoad } from './tcp-load.ts';

test('one client has no more than its bound of connections where something is under way on all of them, and others have theirs', async () => {
  const { serve, queries, until } = held();
  const { port } = await listen(short(serve), { maxConnectionsPerClient: 2 });
  const busy = [new Client(port), new Client(port)];
  for (const client of busy) client.write(frame('busy'));
  await until(2);
  const refused = new Client(port);
  await refused.until(() => refused.ended);
  assert.deepEqual(mishaps, ['refusedPerClient']);
  await idle(port, '127.0.0.2');

  send(queries[0] as (typeof queries)[0], 'done');
  await Promise.race(busy.map((client) => client.until(() => client.frames.length === 1)));
  await idle(port);
  assert.deepEqual(mishaps, ['refusedPerClient', 'displaced']);
});

test('a connection that was closed leaves room for another', async () => {
  const { port } = await listen(echo, { maxConnectionsPerClient: 2 });
  const [gone, stays] = [await idle(port), await idle(port)];
  gone.socket.end();
  await gone.until(() => gone.ended);
  await bystander(port, '127.0.0.2');
  await idle(port);
  assert.deepEqual([stays.ended, mishaps], [false, []]);
});

test('of a client that has all its connections the one that was used longest ago gives way to a new one', async () => {
  const { port } = await listen(echo, { maxConnectionsPerClient: 3 });
  for (let older = 0; older < 3; older += 1) await idle(port, '127.0.0.2');
  const [first, second, third] = [await idle(port), await idle(port), await idle(port)];
  first.write(frame('i'));
  await first.until(() => first.frames.length === 2);
  await idle(port);
  await second.until(() => second.ended);
  assert.deepEqual([first.ended, third.ended, mishaps], [false, false, ['displaced']]);
});

test('where no connection is left in all, over all listeners, an idle one of the client that has most gives way', async () => {
  const load = new TcpLoad({ idleTimeoutMs: longMs, drainIdleMs: longMs, maxConnections: 4 });
  const { serve, until } = held();
  const listeners = [await listen(short(serve), {}, load), await listen(short(serve), {}, load)] as const;
  const modest = await idle(listeners[0].port, '127.0.0.2');
  const greedy = [await idle(listeners[0].port), await idle(listeners[1].port), await idle(listeners[0].port)];
  const newcomer = await idle(listeners[1].port, '127.0.0.3');
  await (greedy[0] as Client).until(() => (greedy[0] as Client).ended);
  assert.equal(modest.ended, false);

  const left = [modest, ...greedy.slice(1), newcomer];
  for (const client of left) client.write(frame('busy'));
  await until(4);
  const refused = new Client(listeners[0].port, '127.0.0.4');
  await refused.until(() => refused.ended);
  assert.deepEqual(mishaps, ['displaced', 'refusedInAll']);
  assert.ok(left.every(({ ended }) => !ended));
});

test('a client with many queries under way is held up where it has its share, on any of its connections, and others are not', async () => {
  const { serve, queries, until } = held();
  const { port } = await listen(short(serve), { maxWaiting: { connection: 3, client: 4, all: 6 } });
  const [one, two, other] = [new Client(port), new Client(port), new Client(port, '127.0.0.2')];
  const many = Buffer.concat(Array.from({ length: 10 }, () => frame('query')));
  one.write(many);
  await until(3);
  two.write(many);
  await until(4);
  await bystander(port);
  assert.equal(queries.length, 4);
  other.write(many);
  await until(6);
  await bystander(port);
  assert.equal(queries.length, 6);
  // Who has nothing under way is served all the same.
  const late = new Client(port, '127.0.0.3');
  late.write(many);
  await until(7);

  for (let answered = 0; answered < 40; answered += 1) {
    await until(answered + 1);
    send(queries[answered] as (typeof queries)[0], 'answer');
  }
  const all = [one, two, other, late];
  await Promise.all(all.map((client) => client.until(() => client.frames.length === 10)));
});

test('queries that are dropped leave room for others', async () => {
  const { serve, queries, until } = held();
  const { port } = await listen(serve, { maxWaiting: { connection: 10, client: 2, all: 2 } });
  const client = new Client(port);
  client.write(Buffer.concat(['aa', 'bb', 'cc', 'dd'].map(frame)));
  await until(2);
  for (const { reply } of queries.slice(0, 2)) reply.drop();
  await until(4);
  for (const { reply } of queries.slice(2)) reply.drop();
  const next = new Client(port);
  next.write(Buffer.concat(['ee', 'ff'].map(frame)));
  await until(6);
});

/** Without the answers that a connection has left. */
const cuts = () => mishaps.filter((what) => what !== 'unsent');

const alone = ['127.0.0.1', '127.0.0.1'];
const several = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5', '127.0.0.6'];
for (const [whose, share, addresses, mostBytes] of [
  ['a client', { connection: 1e9, client: 200_000, all: 1e9 }, alone, 500_000],
  ['all', { connection: 1e9, client: 1e9, all: 200_000 }, alone, 500_000],
  ['all, where each of several has little', { connection: 1e9, client: 1e9, all: 3_000_000 }, several, 4_000_000],
] as const) {
  test(`what waits in memory for those who do not read is bounded: of ${whose}; others are served, and closed connections free their share`, async () => {
    let served = 0;
    const load = new TcpLoad({ idleTimeoutMs: longMs, drainIdleMs: longMs, maxBacklogBytes: share });
    const { port } = await listen(
      short((_packet, reply) => {
        served += 1;
        reply.send(Buffer.from(answer), answer.length);
      }),
      {},
      load,
    );
    const clients = await Promise.all(addresses.map((address) => mute(port, address)));
    for (let before = -1; served > before; ) {
      before = served;
      await bystander(port);
    }
    // The kernel holds some megabytes of each.
    assert.ok(load.all.backlogBytes < mostBytes, `${load.all.backlogBytes} octets wait`);
    if (whose !== 'all') assert.deepEqual(mishaps, [], 'who is held up is not cut off');
    await idle(port, '127.0.0.9');
    for (const { socket } of clients) socket.resetAndDestroy();
    while (load.all.backlogBytes > 0) await bystander(port);
  });
}

test('a client that reads nothing is closed like an idle one, and told apart from it', async () => {
  const { port } = await listen((_packet, reply) => reply.send(Buffer.from(answer), answer.length), {
    idleTimeoutMs: 500,
    maxBacklogBytes: { ...room, connection: 100_000 },
  });
  const client = await mute(port);
  while (mishaps.length === 0) await new Promise(setImmediate);
  assert.deepEqual(cuts(), ['unread']);
  client.socket.destroy();
});

/** A listener whose answers fill what the kernel holds for those who do not read, with time at a standstill. */
async function backedUp(
  bounds: Partial<TcpBounds> = {},
): Promise<{ clock: FakeClock; load: TcpLoad; client: Client; quiet: () => Promise<void> }> {
  const clock = new FakeClock();
  const load = new TcpLoad(bounds, clock);
  let served = 0;
  const { port } = await listen(
    short((_packet, reply) => {
      served += 1;
      reply.send(Buffer.from(answer), answer.length);
    }),
    {},
    load,
  );
  const client = await mute(port);
  /** Nothing moves any more. */
  const quiet = async () => {
    for (let before = -1; served > before || load.all.backlogBytes === 0; ) {
      before = served;
      for (let turn = 0; turn < 5; turn += 1) await bystander(port);
    }
  };
  await quiet();
  return { clock, load, client, quiet };
}

test('who reads nothing has ten seconds, however much of it the kernel has taken meanwhile', async () => {
  const { clock, load } = await backedUp();
  await clock.advance(9_999);
  assert.deepEqual(mishaps, []);
  await clock.advance(1);
  assert.deepEqual([cuts(), load.all.backlogBytes], [['unread'], 0]);
});

test('so has who asks on and reads nothing, and who reads a little now and then', async () => {
  const { clock, client, quiet } = await backedUp({ maxBacklogBytes: room });
  for (let second = 1; second < 10; second += 1) {
    client.write(frame('i'));
    client.socket.read(1_000);
    await clock.advance(1_000);
    await quiet();
    assert.deepEqual(mishaps, [], `${second} s`);
  }
  await clock.advance(1_000);
  assert.deepEqual(cuts(), ['unread']);
});

test('who takes what waits within ten seconds has ten more for the rest', async () => {
  const { clock, client, load } = await backedUp();
  await clock.advance(9_000);
  client.socket.resume();
  await client.until(() => client.frames.length === 1_000);
  assert.equal(load.all.backlogBytes, 0);
  await clock.advance(9_999);
  assert.deepEqual([mishaps, client.ended], [[], false]);
  await clock.advance(1);
  await client.until(() => client.ended);
  assert.deepEqual(mishaps, [], 'it was idle, and nothing more');
});

test('so has who takes some of it, and stops again', async () => {
  const clock = new FakeClock();
  const { serve, queries, until } = held();
  const { port } = await listen(short(serve), {}, new TcpLoad({ maxWaiting: room, maxBacklogBytes: room }, clock));
  const client = await mute(port);
  await until(1_000);
  // What leaves later waits behind what left first, until that has been taken whole.
  for (const half of [queries.slice(0, 500), queries.slice(500)]) {
    for (const query of half) send(query, answer);
    await bystander(port);
  }
  await clock.advance(9_000);
  client.socket.resume();
  await client.until(() => client.frames.length > 500);
  client.socket.pause();
  await bystander(port);
  await clock.advance(9_999);
  assert.deepEqual(mishaps, []);
  await clock.advance(1);
  assert.deepEqual(cuts(), ['unread']);
});

test('a client that closes all its connections has no more under way on new ones before what they left is over', async () => {
  const { serve, queries, until } = held();
  const load = new TcpLoad({ idleTimeoutMs: longMs, maxWaiting: { ...room, client: 4 } });
  const { port } = await listen(short(serve), {}, load);
  const many = Buffer.concat(Array.from({ length: 10 }, () => frame('query')));
  const gone = new Client(port, '127.0.0.2');
  gone.write(many);
  await until(4);
  gone.socket.resetAndDestroy();
  while (load.clientAt('127.0.0.2').connections > 0) await bystander(port);
  const next = new Client(port, '127.0.0.2');
  next.write(many);
  await until(5);
  await bystander(port);
  // One that has nothing under way is served all the same.
  assert.equal(queries.length, 5);
  next.socket.resetAndDestroy();
  while (load.clientAt('127.0.0.2').connections > 0) await bystander(port);
  const load1 = load.clientAt('127.0.0.2');
  assert.equal(load1.waiting, 5);
  for (const query of queries) send(query, 'late');
  assert.notEqual(load.clientAt('127.0.0.2'), load1, 'nothing is remembered of who has nothing');
});

test('an idle connection has ten seconds from its last query', async () => {
  const clock = new FakeClock();
  const { port } = await listen(echo, {}, new TcpLoad({}, clock));
  const client = await idle(port);
  await clock.advance(6_000);
  client.write(frame('i'));
  await client.until(() => client.frames.length === 2);
  await clock.advance(9_999);
  await bystander(port);
  assert.equal(client.ended, false);
  await clock.advance(1);
  await client.until(() => client.ended);
  assert.equal(clock.pending, 1, 'that of the bystander');
});

test('a connection that is no more leaves no timer behind', async () => {
  const clock = new FakeClock();
  const { port } = await listen(echo, {}, new TcpLoad({}, clock));
  const client = await idle(port);
  assert.equal(clock.pending, 1);
  client.socket.end();
  await client.until(() => client.ended);
  await eventually('none', 10_000, () => clock.pending === 0);
});

test('a query that comes octet by octet has as long as an idle connection; one that is whole in time begins it anew', async () => {
  const { port } = await listen(echo, { idleTimeoutMs: 800 });
  const [whole, joined, never] = [new Client(port), new Client(port), new Client(port)];
  const [head, tail] = [frame('q').subarray(0, 1), frame('q').subarray(1)];
  joined.write(head);
  const startMs = performance.now();
  const drip = setInterval(() => {
    never.write(Buffer.of(0xff));
    for (const octet of frame('q')) whole.write(Buffer.of(octet));
    joined.write(Buffer.concat([tail, head]));
  }, 20);
  await never.until(() => never.ended);
  const lastedMs = performance.now() - startMs;
  assert.deepEqual(mishaps, ['unfinished']);
  assert.ok(lastedMs >= 790, `closed after ${lastedMs} ms`);
  for (const client of [whole, joined]) {
    const before = client.frames.length;
    await client.until(() => client.frames.length > before || client.ended);
    assert.ok(!client.ended);
  }
  clearInterval(drip);
});

test('parts of long queries are not collected without bound', async () => {
  const { port } = await listen(echo, { maxPartBytes: 80_002 });
  const long = frame('x'.repeat(60_000)).subarray(0, 40_000);
  const clients = [new Client(port), new Client(port)];
  for (const client of clients) client.write(long);
  await bystander(port);
  const honest = new Client(port);
  honest.write(frame('query').subarray(0, 3));
  const third = new Client(port);
  third.write(long);
  await third.until(() => third.ended);
  assert.deepEqual(mishaps, ['unfinished']);
  honest.write(frame('query').subarray(3));
  await honest.until(() => honest.frames.length === 1);
  assert.ok(clients.every(({ ended }) => !ended));
});

test('a client that has closed its half gets the answers to all that it asked, though they were too many at once', async () => {
  const { serve, queries, until } = held();
  const { port } = await listen(serve, { maxWaiting: { ...room, connection: 4 } });
  const client = new Client(port);
  client.socket.end(Buffer.concat(Array.from({ length: 50 }, (_, number) => frame(`query ${number}`))));
  for (let number = 0; number < 50; number += 1) {
    await until(number + 1);
    send(queries[number] as (typeof queries)[0], `answer ${number}`);
  }
  await client.until(() => client.ended);
  assert.equal(client.frames.length, 50);
});

test('so does one that reads them late', async () => {
  const { port } = await listen((_packet, reply) => reply.send(Buffer.from(answer), answer.length), {
    maxBacklogBytes: { ...room, connection: 100_000 },
  });
  const client = await mute(port);
  client.socket.end();
  await bystander(port);
  client.socket.resume();
  await client.until(() => client.ended);
  assert.equal(client.frames.length, 1_000);
});

test('an answer whose connection is gone is told', async () => {
  const { serve, queries, until } = held();
  const { port } = await listen(short(serve));
  const client = new Client(port);
  client.write(frame('query'));
  await until(1);
  client.socket.resetAndDestroy();
  await bystander(port);
  await bystander(port);
  send(queries[0] as (typeof queries)[0], 'answer');
  assert.deepEqual(mishaps, ['unsent']);
});

test('so are those that had not left when the client was gone', async () => {
  let served = 0;
  const serve: ServePacket = (_packet, reply) => {
    served += 1;
    reply.send(Buffer.from(answer), answer.length);
  };
  const { port } = await listen(serve, { maxBacklogBytes: room });
  const client = await mute(port);
  await eventually('all answers', longMs, () => served === 1_000);
  client.socket.resetAndDestroy();
  await client.until(() => client.ended);
  while (mishaps.length === 0) await bystander(port);
  assert.deepEqual(new Set(mishaps), new Set(['unsent']));
});

test('what is left of a chunk holds little more memory than it has octets, and is not copied for each query that goes', () => {
  const chunk = Buffer.from(new ArrayBuffer(65_536));
  const heldBy = (from: number) => kept(chunk, from).buffer.byteLength;
  assert.deepEqual([heldBy(65_536), heldBy(65_500)], [0, 36]);
  assert.deepEqual([...kept(chunk.fill('x', 65_500), 65_500)], Array(36).fill(0x78));
  assert.equal(kept(chunk, 30).buffer, chunk.buffer);
});
