import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { ListenError } from './listener.ts';
import { openTcp } from './tcp.ts';
import { bystander, Client, echo, frame, held, listen, longMs, opened, room, send } from './tcp-client.fake.ts';

test('frames that are split at every octet, and frames that are joined in one chunk, are served one by one', async () => {
  const { port } = await listen(echo);
  const split = new Client(port);
  for (const octet of Buffer.concat([frame('first'), frame('second')])) split.write(Buffer.of(octet));
  await split.until(() => split.frames.length === 2);
  assert.deepEqual(split.frames, ['first', 'second']);

  const joined = new Client(port);
  const third = frame('third');
  joined.write(Buffer.concat([frame('first'), frame('second'), third.subarray(0, 1)]));
  await joined.until(() => joined.frames.length === 2);
  joined.write(third.subarray(1));
  await joined.until(() => joined.frames.length === 3);
  assert.deepEqual(joined.frames, ['first', 'second', 'third']);
});

test('a message of 65,535 octets goes in and out whole', async () => {
  const { port } = await listen(echo);
  const client = new Client(port);
  const text = 'x'.repeat(65_535);
  client.write(frame(text));
  await client.until(() => client.frames.length === 1);
  assert.ok(client.frames[0] === text);
});

test('answers leave as they come: a slow query does not hold up the fast one behind it', async () => {
  const { serve, queries, until } = held();
  const { port } = await listen(serve);
  const client = new Client(port);
  client.write(Buffer.concat([frame('slow'), frame('fast')]));
  await until(2);
  send(queries[1] as (typeof queries)[0], 'fast');
  await client.until(() => client.frames.length === 1);
  send(queries[0] as (typeof queries)[0], 'slow');
  await client.until(() => client.frames.length === 2);
  assert.deepEqual(client.frames, ['fast', 'slow']);
});

test('a client that has closed its half gets its answers, and then the end', async () => {
  const { serve, queries, until } = held();
  const { port } = await listen(serve);
  const client = new Client(port);
  client.write(Buffer.concat([frame('one'), frame('two')]));
  client.socket.end();
  await until(2);
  for (const query of queries) send(query, query.text);
  await client.until(() => client.ended);
  assert.deepEqual(client.frames, ['one', 'two']);
});

test('a dropped packet leaves nothing behind: the half-closed connection of a client still ends', async () => {
  const { serve, queries, until } = held();
  const { port } = await listen(serve);
  const client = new Client(port);
  client.write(frame('nonsense'));
  client.socket.end();
  await until(1);
  queries[0]?.reply.drop();
  await client.until(() => client.ended);
  assert.deepEqual(client.frames, []);
});

test('a connection without traffic is closed', async () => {
  const { port } = await listen(echo, { idleTimeoutMs: 500 });
  const client = new Client(port);
  client.write(frame('one'));
  await client.until(() => client.ended);
  assert.deepEqual(client.frames, ['one']);
});

test('no more is taken from a client than the bound while its queries wait, and all of it afterwards', async () => {
  const { serve, queries, until } = held();
  const { port } = await listen((packet, reply) => (packet.length === 1 ? echo : serve)(packet, reply), {
    maxWaiting: { ...room, connection: 4 },
  });
  const client = new Client(port);
  const asked = Array.from({ length: 100 }, (_, number) => `query ${number}`);
  client.write(Buffer.concat(asked.map(frame)));
  await until(4);
  await bystander(port);
  assert.equal(queries.length, 4);

  for (let answered = 0; answered < asked.length; answered += 1) {
    await until(answered + 1);
    send(queries[answered] as (typeof queries)[0], `answer ${answered}`);
  }
  await client.until(() => client.frames.length === asked.length);
  assert.deepEqual(
    queries.map(({ text }) => text),
    asked,
  );
});

test('queries that are dropped make room for those behind them', async () => {
  const { serve, queries, until } = held();
  const { port } = await listen(serve, { maxWaiting: { ...room, connection: 2 } });
  const client = new Client(port);
  client.write(Buffer.concat(['a', 'b', 'c', 'd'].map(frame)));
  await until(2);
  for (const { reply } of queries.slice(0, 2)) reply.drop();
  await until(4);
});

test('a client that does not read its answers is not read from, and gets all of them when it does', async () => {
  const answer = 'x'.repeat(60_000);
  let served = 0;
  const { port } = await listen(
    (_packet, reply) => {
      served += 1;
      reply.send(Buffer.from(answer), answer.length);
    },
    { maxBacklogBytes: { ...room, connection: 100_000 } },
  );
  const client = new Client(port);
  await once(client.socket, 'connect');
  client.socket.pause();
  const asked = 500;
  client.write(Buffer.concat(Array.from({ length: asked }, () => frame('q'))));
  let before = -1;
  while (served > before || served === 0) {
    before = served;
    await bystander(port);
    served -= 1;
  }
  // 30 MB of answers: what is served is what sockets and backlog hold.
  assert.ok(served < asked / 2, `${served} of ${asked} answers wait in memory`);
  client.socket.resume();
  await client.until(() => client.frames.length === asked);
});

test('close() takes no new connections, answers what still comes on open ones, and ends them on the heels of an answer', async () => {
  const { serve, queries, until } = held();
  const listener = await listen(serve);
  const client = new Client(listener.port);
  client.write(frame('asked'));
  await until(1);
  const closed = listener.close(longMs);
  client.write(frame('late'));
  await bystanderRefused(listener.port);
  await until(2);
  send(queries[1] as (typeof queries)[0], 'late');
  await client.until(() => client.frames.length === 1);
  client.write(frame('later'));
  await until(3);
  for (const query of [queries[2], queries[0]]) send(query as (typeof queries)[0], query?.text ?? '');
  await client.until(() => client.ended);
  client.socket.end();
  await closed;
  assert.deepEqual(client.frames, ['late', 'later', 'asked']);
});

test('close() waits for the rest of a query of which a part has come', async () => {
  const { serve, queries, until } = held();
  const listener = await listen((packet, reply) => (packet.length === 6 ? echo : serve)(packet, reply));
  const client = new Client(listener.port);
  const second = frame('second');
  client.write(Buffer.concat([frame('first'), second.subarray(0, 3)]));
  await until(1);
  const closed = listener.close(longMs);
  send(queries[0] as (typeof queries)[0], 'first');
  await client.until(() => client.frames.length === 1);
  client.write(second.subarray(3));
  await client.until(() => client.ended);
  client.socket.end();
  await closed;
  assert.deepEqual(client.frames, ['first', 'second']);
});

test('close() answers queries that are sent right behind one another', async () => {
  const next: Record<string, string> = { A: 'AAAA', AAAA: 'HTTPS' };
  const listener = await listen((packet, reply) => {
    // The kernel has it before this answer leaves, and before the listener reads again.
    const behind = next[packet.toString('latin1')];
    if (behind !== undefined) client.write(frame(behind));
    echo(packet, reply);
  });
  const client = new Client(listener.port);
  client.write(frame('TXT'));
  await client.until(() => client.frames.length === 1);
  const closed = listener.close(longMs);
  client.write(frame('A'));
  await client.until(() => client.ended);
  client.socket.end();
  await closed;
  assert.deepEqual(client.frames, ['TXT', 'A', 'AAAA', 'HTTPS']);
});

test('close() takes nothing more in the second half of the grace where something is always under way, and answers what it took', async () => {
  const asked: string[] = [];
  const listener = await listen((packet, reply) => {
    asked.push(packet.toString('latin1'));
    setTimeout(() => echo(packet, reply), 10);
  });
  const client = new Client(listener.port);
  let sent = 0;
  const steady = setInterval(() => client.write(frame(`query ${sent++}`)), 2);
  await client.until(() => client.frames.length > 0);
  const beganAtMs = performance.now();
  const closed = listener.close(2_000);
  await client.until(() => client.ended);
  clearInterval(steady);
  assert.deepEqual(client.frames, asked);
  client.socket.end();
  await closed;
  assert.ok(performance.now() - beganAtMs < 2_000, 'what came and was not taken does not hide the end of the client');
});

async function bystanderRefused(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  opened.sockets.push(socket);
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNREFUSED');
}

test('close() sees the end of a client from which it had taken all that may wait', async () => {
  const { serve, queries, until } = held();
  const listener = await listen(serve, { maxWaiting: { ...room, connection: 1 } });
  const client = new Client(listener.port);
  client.write(Buffer.concat(['taken', 'too many'].map(frame)));
  await until(1);
  const beganAtMs = performance.now();
  const closed = listener.close(2_000);
  await pause(1_100);
  send(queries[0] as (typeof queries)[0], 'answer');
  await client.until(() => client.ended);
  client.socket.end();
  await closed;
  assert.ok(performance.now() - beganAtMs < 1_900);
  assert.deepEqual(client.frames, ['answer']);
});

test('close() ends idle connections after a short silence, also those of clients that wait for our end first', async () => {
  const listener = await listen(echo, { drainIdleMs: 20 });
  const client = new Client(listener.port);
  client.write(frame('one'));
  await client.until(() => client.frames.length === 1);
  client.socket.on('end', () => client.socket.end());
  await listener.close(longMs);
});

test('close() takes no silence for idleness while an answer is awaited', async () => {
  const { serve, queries, until } = held();
  const listener = await listen((packet, reply) => (packet.length === 1 ? echo : serve)(packet, reply), {
    drainIdleMs: 20,
  });
  const [waiting, idle] = [new Client(listener.port), new Client(listener.port)];
  waiting.write(frame('asked'));
  idle.write(frame('i'));
  await until(1);
  await idle.until(() => idle.frames.length === 1);
  const closed = listener.close(longMs);
  await idle.until(() => idle.ended);
  waiting.write(frame('w'));
  await waiting.until(() => waiting.frames.length === 1 || waiting.ended);
  send(queries[0] as (typeof queries)[0], 'answered');
  await waiting.until(() => waiting.ended);
  assert.deepEqual(waiting.frames, ['w', 'answered']);
  for (const { socket } of [waiting, idle]) socket.end();
  await closed;
});

test('close() gives a client that never reads or closes no longer than the grace', async () => {
  const { serve, until } = held();
  const listener = await listen(serve);
  const client = new Client(listener.port);
  client.write(frame('one'));
  await until(1);
  await listener.close(20);
  await client.until(() => client.ended);
});

test('a port in use: the message names port, transport and how to find who has it', async () => {
  const { port } = await listen(echo);
  await assert.rejects(openTcp({ address: '127.0.0.1', port }, echo), (error: unknown) => {
    assert.ok(error instanceof ListenError);
    assert.equal(error.code, 'EADDRINUSE');
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1 port ${port} \\(TCP\\): .*'ss -tlpn sport = :${port}'`));
    return true;
  });
});

test('an address of no interface: the message says so', async () => {
  await assert.rejects(openTcp({ address: '192.0.2.99', port: 0 }, echo), {
    code: 'EADDRNOTAVAIL',
    message: 'cannot listen on 192.0.2.99 port 0 (TCP): no interface of this node has the address',
  });
});
