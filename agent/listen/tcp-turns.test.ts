/** What is taken over TCP in one turn of the loop, and who is next. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mock, type TestContext, test } from 'node:test';
import { answer, Client, echo, frame, held, listen, longMs, loopback, mute, opened, room } from './tcp-client.fake.ts';
import { TcpLoad } from './tcp-load.ts';
import { type Taker, TcpTurns } from './tcp-turns.ts';
import { openUdp } from './udp.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A connection on which so many queries have come. */
class Asker implements Taker {
  readonly client: object;
  readonly #turns: TcpTurns;
  readonly #octets: number;
  left: number;
  taken = 0;

  /** @param octets of each answer */
  constructor(turns: TcpTurns, client: object, left: number, octets = 0) {
    this.client = client;
    this.#turns = turns;
    this.#octets = octets;
    this.left = left;
    this.goOn();
  }

  goOn(): void {
    for (; this.left > 0; this.left -= 1) {
      if (!this.#turns.take()) {
        this.#turns.hold(this);
        return;
      }
      this.taken += 1;
      this.#turns.spend(this.#octets);
    }
  }
}

const taken = (askers: readonly Asker[]) => askers.map((asker) => asker.taken);

test('in each turn as much is taken as may be, and no more, by all of them', async () => {
  const turns = new TcpTurns(32);
  const askers = [new Asker(turns, {}, 70), new Asker(turns, {}, 30)];
  assert.deepEqual(taken(askers), [32, 0]);
  for (const sum of [64, 96, 100]) {
    await turn();
    const [one, two] = taken(askers) as [number, number];
    assert.equal(one + two, sum);
  }
});

test('clients go on one after the other, and so do the connections of one: many connections get no more than one', async () => {
  const turns = new TcpTurns(32);
  const [greedy, modest] = [{}, {}];
  const many = Array.from({ length: 8 }, () => new Asker(turns, greedy, 1_000));
  const one = new Asker(turns, modest, 1_000);
  await turn();
  assert.deepEqual([one.taken, ...taken(many)], [16, 34, 2, 2, 2, 2, 2, 2, 2]);
});

test('sixteen clients have something in each turn; of more of them all, one after the other', async () => {
  const turns = new TcpTurns(32);
  const first = new Asker(turns, {}, 32);
  const askers = Array.from({ length: 24 }, () => new Asker(turns, {}, 1_000));
  await turn();
  assert.deepEqual(taken(askers), [...Array(16).fill(2), ...Array(8).fill(0)]);
  await turn();
  assert.deepEqual(taken(askers), [...Array(8).fill(4), ...Array(16).fill(2)]);
  assert.equal(first.taken, 32);
});

test('what goes counts by its octets as well', async () => {
  const turns = new TcpTurns(32);
  const asker = new Asker(turns, {}, 100, 3 * 4_096);
  assert.equal(asker.taken, 8);
  await turn();
  assert.equal(asker.taken, 16);
});

test('who is gone is not asked to go on, and leaves the turn to others', async () => {
  const turns = new TcpTurns(4);
  const askers = [new Asker(turns, {}, 8), new Asker(turns, {}, 8), new Asker(turns, {}, 8)] as const;
  turns.release(askers[0]);
  turns.release(askers[1]);
  await turn();
  await turn();
  assert.deepEqual(taken(askers), [4, 0, 8]);
});

test('who has had nothing in a turn goes on in the next, also where all others are done', async () => {
  const turns = new TcpTurns(2);
  const askers = [2, 1, 1, 1].map((queries) => new Asker(turns, {}, queries));
  await turn();
  assert.deepEqual(taken(askers), [2, 1, 1, 0]);
  await turn();
  assert.deepEqual(taken(askers), [2, 1, 1, 1]);
});

/** How many queries were served in each turn. */
function countTurns(): { serve: typeof echo; counts: number[]; stop: () => void } {
  const counts = [0];
  let next = setImmediate(function again() {
    counts.push(0);
    next = setImmediate(again);
  });
  const serve: typeof echo = (packet, reply) => {
    counts[counts.length - 1] = (counts.at(-1) ?? 0) + 1;
    return echo(packet, reply);
  };
  return { serve, counts, stop: () => clearImmediate(next) };
}

const flood = (queries: number) => Buffer.concat(Array.from({ length: queries }, () => frame('query')));

test('whoever asks on and on, over all listeners, is served so much in a turn, and gets all its answers, though it has closed its half', async () => {
  const { serve, counts, stop } = countTurns();
  const load = new TcpLoad({ idleTimeoutMs: longMs, drainIdleMs: longMs });
  const ports = [(await listen(serve, {}, load)).port, (await listen(serve, {}, load)).port];
  const clients = ports.flatMap((port) => [new Client(port), new Client(port)]);
  for (const { socket } of clients) socket.end(flood(2_000));
  await Promise.all(clients.map((client) => client.until(() => client.ended)));
  stop();
  assert.deepEqual(
    clients.map(({ frames }) => frames.length),
    [2_000, 2_000, 2_000, 2_000],
  );
  assert.ok(Math.max(...counts) <= 256, `${Math.max(...counts)} in a turn`);
});

test('of a connection that is held up nothing more is read', async () => {
  const load = new TcpLoad({ takenPerTurn: 1 });
  const spend = mock.method(load.turns, 'spend');
  const { port } = await listen(echo, {}, load);
  const client = new Client(port);
  client.write(flood(1_000_000));
  await client.until(() => client.frames.length > 100);
  const octets = spend.mock.calls.reduce((sum, { arguments: [more] }) => sum + more, 0);
  assert.ok(octets < 300_000, `${octets} octets were read`);
});

test('whoever has closed its half and gets no answer sees our end once all that it asked has been taken', async () => {
  const { port } = await listen((_packet, reply) => reply.drop(), { takenPerTurn: 2 });
  const client = new Client(port);
  client.socket.end(flood(40));
  await client.until(() => client.ended);
});

test('so does one that is not answered all, and it gets the other answers', async () => {
  let count = 0;
  const serve: typeof echo = (packet, reply) => {
    count += 1;
    return count % 3 === 0 ? reply.drop() : echo(packet, reply);
  };
  const { port } = await listen(serve, { takenPerTurn: 4 });
  const client = new Client(port);
  client.socket.end(flood(90));
  await client.until(() => client.ended);
  assert.equal(client.frames.length, 60);
});

test('of a connection that is no more nothing is taken, though it was held up', async () => {
  let served = 0;
  const serve: typeof echo = (packet, reply) => {
    served += 1;
    return echo(packet, reply);
  };
  const { port } = await listen(serve, { takenPerTurn: 1 });
  const client = new Client(port);
  client.write(flood(9_000));
  await client.until(() => client.frames.length > 0);
  client.socket.resetAndDestroy();
  for (let turns = 0; turns < 100; turns += 1) await turn();
  const before = served;
  for (let turns = 0; turns < 10; turns += 1) await turn();
  assert.equal(served, before);
});

test('long answers count for more', async () => {
  const { serve, counts, stop } = countTurns();
  const { port } = await listen((_packet, reply) => serve(Buffer.from(answer), reply), { maxBacklogBytes: room });
  const client = new Client(port);
  client.write(flood(200));
  await client.until(() => client.frames.length === 200);
  stop();
  assert.ok(Math.max(...counts) <= 20, `${Math.max(...counts)} in a turn`);
});

for (const transport of ['UDP', 'TCP'] as const) {
  test(`while one client asks on and on over 8 connections, each query of another over ${transport} has its turn at once`, async (context) => {
    let others = 0;
    const load = new TcpLoad({ idleTimeoutMs: longMs, drainIdleMs: longMs });
    const { port } = await listen(
      (packet, reply) => {
        if (packet.length === 5) others += 1;
        return echo(packet, reply);
      },
      {},
      load,
    );
    const ask = await (transport === 'UDP' ? overUdp(context) : overTcp(port));
    const greedy = Array.from({ length: 8 }, () => new Client(port));
    for (const client of greedy) client.write(flood(5_000));
    await (greedy[0] as Client).until(() => others > 0);
    let most = 0;
    for (let asked = 0; asked < 20; asked += 1) {
      const before = others;
      await ask();
      most = Math.max(most, others - before);
    }
    assert.ok(others < 40_000, 'the others are not done');
    // A turn each for the query, for its answer, and for what is held up before it.
    assert.ok(most <= 4 * 256, `${most} of the other client were served before one`);
  });
}

async function overUdp(context: TestContext): Promise<() => Promise<unknown>> {
  const listener = await openUdp(loopback, echo);
  opened.listeners.push(listener);
  const socket = createSocket('udp4');
  context.after(() => socket.close());
  socket.connect(listener.port, '127.0.0.1');
  await once(socket, 'connect');
  return () => {
    socket.send('paced');
    return once(socket, 'message');
  };
}

async function overTcp(port: number): Promise<() => Promise<unknown>> {
  const client = new Client(port, '127.0.0.2');
  await once(client.socket, 'connect');
  let asked = 0;
  return () => {
    client.write(frame('one'));
    asked += 1;
    return client.until(() => client.frames.length === asked);
  };
}

test('what a client sends that is answered no more is thrown away in the same bounds, and all of it', async () => {
  const load = new TcpLoad({
    idleTimeoutMs: longMs,
    maxWaiting: room,
    maxBacklogBytes: { ...room, connection: 1e6 },
  });
  const { serve, queries, until } = held();
  const { port } = await listen(serve, {}, load);
  const client = await mute(port);
  await until(1_000);
  for (const { reply } of queries) reply.send(Buffer.from(answer), answer.length);
  await turn();
  const hold = mock.method(load.turns, 'hold');
  client.socket.write(Buffer.alloc(1 << 24));
  await once(client.socket, 'drain');
  assert.ok(hold.mock.callCount() > 1, `held up ${hold.mock.callCount()} times`);
});
