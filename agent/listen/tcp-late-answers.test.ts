/** Answers for which there was room when they were asked for, and is none when they come. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../test/fake/clock.ts';
import {
  answer,
  bystander,
  Client,
  frame,
  held,
  idle,
  listen,
  mishaps,
  mute,
  room,
  send,
  short,
} from './tcp-client.fake.ts';
import { type TcpBounds, TcpLoad } from './tcp-load.ts';

/** Connections on which a thousand queries wait, none of which is read about. */
async function awaiting(
  bounds: Partial<TcpBounds>,
  addresses: readonly string[],
): Promise<{ load: TcpLoad; clock: FakeClock; port: number; clients: Client[]; answerAll: (but?: number) => void }> {
  const clock = new FakeClock();
  const load = new TcpLoad({ maxWaiting: room, ...bounds }, clock);
  const { serve, queries, until } = held();
  const { port } = await listen(short(serve), {}, load);
  const clients: Client[] = [];
  for (const address of addresses) clients.push(await mute(port, address));
  await until(addresses.length * 1_000);
  const answerAll = (but = 0) => {
    for (const query of queries.splice(0, queries.length - but)) send(query, answer);
  };
  return { load, clock, port, clients, answerAll };
}

const count = (what: string) => mishaps.filter((mishap) => mishap === what).length;

for (const [whose, bound, addresses, mostBytes] of [
  ['a connection', { ...room, connection: 1e6 }, ['127.0.0.1', '127.0.0.1'], 4e6],
  ['a client', { ...room, client: 1e6 }, ['127.0.0.1', '127.0.0.1', '127.0.0.1'], 2e6],
  ['all', { ...room, all: 1e6 }, ['127.0.0.1', '127.0.0.2', '127.0.0.3'], 2e6],
] as const) {
  test(`answers that come late to those who do not read are bounded as well: of ${whose}`, async () => {
    const { load, port, clients, answerAll } = await awaiting({ maxBacklogBytes: bound }, addresses);
    answerAll();
    // The first that waits for each always may.
    const most = mostBytes + addresses.length * (answer.length + 2);
    assert.ok(load.all.backlogBytes <= most, `${load.all.backlogBytes} octets wait`);
    assert.equal(count('unread'), addresses.length);
    assert.ok(
      count('unsent') > addresses.length * 1_000 - mostBytes / answer.length - 200,
      `${count('unsent')} unsent`,
    );
    await idle(port, '127.0.0.9');
    for (const client of clients) {
      client.socket.resume();
      await client.until(() => client.ended);
      assert.ok(client.frames.length > 0);
    }
  });
}

test('whoever has more coming than is kept gets what is kept, and then the end; what comes after it is no answer any more', async () => {
  const { load, clock, clients, answerAll } = await awaiting({ maxBacklogBytes: { ...room, connection: 1e6 } }, [
    '127.0.0.1',
  ]);
  const [client] = clients as [Client];
  answerAll(1);
  client.socket.resume();
  await client.until(() => client.ended);
  assert.ok(client.frames.length >= 2e6 / answer.length, `${client.frames.length} answers`);
  assert.deepEqual([count('unread'), count('unsent')], [1, 999 - client.frames.length]);
  assert.equal(load.all.backlogBytes, 0);
  // It does not close its half, and has as long for that as any other.
  await clock.advance(10_000);
  assert.equal(count('unread'), 1);
});

test('what is kept is not kept for ever, and is told of once', async () => {
  const { load, clock, port, answerAll } = await awaiting({ maxBacklogBytes: { ...room, connection: 1e7 } }, [
    '127.0.0.1',
  ]);
  answerAll();
  // More than the kernel takes.
  for (let turn = 0; turn < 5; turn += 1) await bystander(port);
  assert.equal(count('unread'), 1);
  assert.ok(load.all.backlogBytes > 0);
  await clock.advance(10_000);
  assert.deepEqual([count('unread'), load.all.backlogBytes], [1, 0]);
});

test('a client that reads has all its answers, though they come at one time and are more than are kept', async () => {
  const load = new TcpLoad({ maxBacklogBytes: { ...room, connection: 100_000 } });
  const { serve, queries, until } = held();
  const { port } = await listen(serve, {}, load);
  const client = new Client(port);
  const many = 30;
  client.write(Buffer.concat(Array.from({ length: many }, () => frame('query'))));
  await until(many);
  // Of these the kernel holds some dozens for whoever has not read them yet.
  for (const query of queries) send(query, 'x'.repeat(10_000));
  await client.until(() => client.frames.length === many || client.ended);
  assert.deepEqual([client.frames.length, mishaps], [many, []]);
});

test('where some leave all that they may there is room left for one whose answers wait for a moment', () => {
  const load = new TcpLoad({ maxBacklogBytes: { connection: 100, client: 400, all: 1_000 } });
  const leave = (address: string, most: number): number => {
    const client = load.clientAt(address);
    for (; client.backlogBytes < most && load.keeps(client, 1); load.all.backlogBytes += 1) client.backlogBytes += 1;
    return client.backlogBytes;
  };
  assert.deepEqual([leave('greedy-1', 1e6), leave('greedy-2', 1e6)], [667, 445]);
  for (let greedy = 3; greedy < 10; greedy += 1) leave(`greedy-${greedy}`, 1e6);
  assert.equal(leave('slow', 10), 10);
  for (let greedy = 10; greedy < 100; greedy += 1) leave(`greedy-${greedy}`, 1e6);
  assert.ok(load.all.backlogBytes <= 2_000 + 100, 'an octet for each, at most, that has nothing waiting yet');
});
