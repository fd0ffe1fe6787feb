import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { suite, test } from 'node:test';
import { FakeClock, settle } from '../../test/fake/clock.ts';
import { buildQuery } from '../../test/fake/message.ts';
import { SerialServer } from '../../test/fake/serial-server.ts';
import { isSlow, names, roundTripMs, scene, timeoutMs } from './serial-scene.fake.ts';
import { TcpPools } from './tcp-pool.ts';
import { promised } from './transport.ts';

suite('towards a server that answers one after the other', () => {
  test('what was sent behind a slow query is sent again over another connection, once', async () => {
    const { clock, server, ask, asked, elapsed } = scene({ workMs: (name) => (isSlow(name) ? 1_000 : 0) });
    const replies = ['slow.example', 'one.example', 'two.example'].map((name) => ask(name));
    await clock.advance(1_100);
    await Promise.all(replies);
    // Connect 1, patience 5 and the way 1, the look every 5, connect 1, the way 1.
    ok((elapsed.get('one.example') ?? timeoutMs) <= 14, `${elapsed.get('one.example')} ms`);
    deepEqual(['slow.example', 'one.example', 'two.example'].map(asked), [1, 2, 2]);
    equal(server.accepted, 2);
  });

  test('what comes while a slow query is out goes over another connection at once, in whatever order they are sent', async () => {
    const { clock, server, ask, elapsed } = scene({ workMs: (name) => (isSlow(name) ? 1_000 : 0) });
    const slow = ask('slow.example');
    await clock.advance(10);
    const fast = ask('fast.example');
    await clock.advance(10);
    await fast;
    // Connect, and the way there and back.
    equal(elapsed.get('fast.example'), 2);
    equal(server.accepted, 2);
    await clock.advance(1_000);
    await slow;
  });

  test('each of many slow queries has a connection of its own, up to 32; those beyond close after a second, two after six', async () => {
    const { clock, server, ask } = scene({ workMs: () => 500 });
    const replies: Promise<void>[] = [];
    for (const name of names('slow', 40)) {
      replies.push(ask(name, { client: name }));
      await clock.advance(10);
    }
    await clock.advance(1_000);
    await Promise.all(replies);
    equal(server.mostConnections, 32);
    equal(server.received.length, 40);
    await clock.advance(1_100);
    equal(server.connections.size, 2);
    await clock.advance(6_000);
    equal(server.connections.size, 0);
    equal(clock.pending, 0);
  });

  test('slow queries that come all at once are taken from behind each other, and each is asked three times at most', async () => {
    const { clock, server, ask, asked } = scene({ workMs: () => 500 });
    const crowd = names('slow', 24);
    const replies = crowd.map((name) => ask(name));
    await clock.advance(400);
    ok(server.mostConnections >= 24, `${server.mostConnections} connections`);
    await clock.advance(1_500);
    await Promise.all(replies);
    ok(Math.max(...crowd.map(asked)) <= 3);
  });

  test('few queries at a time share one connection', async () => {
    const { clock, server, ask } = scene({ workMs: () => 0.1 });
    for (let round = 0; round < 50; round += 1) {
      const replies = names(`n${round}-`, 5).map((name) => ask(name));
      await clock.advance(3);
      await Promise.all(replies);
    }
    equal(server.accepted, 1);
  });

  for (const [workMs, crowd, connections] of [
    [0.02, 30, 1],
    [0.02, 100, 4],
    [2, 30, 4],
  ] as const) {
    test(`a server that takes ${workMs} ms for a query is asked ${crowd} at a time over ${connections}`, async () => {
      const { clock, server, ask } = scene({ workMs: () => workMs });
      for (let round = 0; round < 4; round += 1) {
        const replies = names(`n${round}-`, 8).map((name) => ask(name));
        await clock.advance(40);
        await Promise.all(replies);
      }
      equal(server.accepted, 1);
      const replies = names('m', crowd).map((name) => ask(name));
      await clock.advance(100);
      await Promise.all(replies);
      equal(server.accepted, connections);
    });
  }

  test('a fast server that is late with an answer is asked over another connection before it counts as held up', async () => {
    const { clock, ask, asked } = scene({ workMs: (name) => (isSlow(name) ? 1_000 : 0.02) });
    for (let round = 0; round < 4; round += 1) {
      const replies = names(`n${round}-`, 8).map((name) => ask(name));
      await clock.advance(40);
      await Promise.all(replies);
    }
    const replies = [ask('slow.example')];
    const crowd = names('m', 24);
    for (const name of crowd) {
      replies.push(ask(name));
      await clock.advance(0.25);
    }
    await clock.advance(1_100);
    await Promise.all(replies);
    // It is late after 3 ms, and counts as held up after 6.
    const behind = crowd.filter((name) => asked(name) > 1).length;
    ok(behind >= 8 && behind <= 14, `${behind} were behind the slow one`);
  });

  test('a crowd of fast queries needs no more than four', async () => {
    const { clock, server, ask, asked } = scene({ workMs: () => 0.05 });
    const crowd = names('n', 1_000);
    const replies = crowd.map((name) => ask(name));
    await clock.advance(100);
    await Promise.all(replies);
    equal(server.accepted, 4);
    equal(Math.max(...crowd.map(asked)), 1);
  });

  test('nothing is sent twice where whoever counts what is sent says no', async () => {
    const { clock, ask, asked, elapsed } = scene({ workMs: (name) => (isSlow(name) ? 1_000 : 0) });
    const replies = ['slow.example', 'one.example'].map((name) => ask(name, { mayRepeat: () => false }));
    await clock.advance(1_100);
    await Promise.all(replies);
    ok((elapsed.get('one.example') ?? 0) >= 1_000);
    equal(asked('one.example'), 1);
  });

  test('a server that answers in any order is asked over one connection, and nothing is sent to it twice', async () => {
    const { clock, server, ask } = scene({ inAnyOrder: true, workMs: (name) => (isSlow(name) ? 200 : 100) });
    const learn = ['slow.example', 'fast.example'].map((name) => ask(name));
    await clock.advance(300);
    await Promise.all(learn);
    const [accepted, received] = [server.accepted, server.received.length];
    const replies: Promise<void>[] = [];
    for (const name of names('slow', 7)) {
      replies.push(ask(name));
      await clock.advance(10);
    }
    await clock.advance(300);
    await Promise.all(replies);
    deepEqual([server.accepted, server.received.length], [accepted, received + 7]);
  });

  test('queries that are never answered, while others are, do not fill a connection up', async () => {
    const { clock, server, ask } = scene({
      inAnyOrder: true,
      workMs: (name) => (isSlow(name) ? Number.POSITIVE_INFINITY : 0),
    });
    for (let round = 0; round < 40; round += 1) {
      const lost = rejects(ask(`slow${round}.example`), { code: 'TIMEOUT' });
      const fast = ask(`fast${round}.example`);
      await clock.advance(3);
      await fast;
      await clock.advance(2_000);
      await lost;
    }
    equal(server.accepted, 1);
  });

  for (const closesAfter of [1, 3, 10]) {
    test(`a server that closes a connection after ${closesAfter} answers costs no client one, and is soon known`, async () => {
      const { clock, server, ask } = scene({ closesAfter });
      for (let round = 0; round < 20; round += 1) {
        const before = server.received.length;
        const replies = names(`n${round}-`, 9).map((name) => ask(name));
        await clock.advance(50);
        await Promise.all(replies);
        if (round >= 10) equal(server.received.length - before, 9);
      }
    });
  }

  test('a connection that is lost twice behind the same number of answers was no accident, but that is forgotten', async () => {
    const { clock, server, ask } = scene({ closesAfter: 2 });
    const crowd = async (stem: string) => {
      const replies = names(stem, 8).map((name) => ask(name));
      await clock.advance(50);
      await Promise.all(replies);
    };
    for (const stem of ['a', 'b', 'c']) await crowd(stem);
    server.closesAfter = Number.POSITIVE_INFINITY;
    const known = server.accepted;
    await crowd('d');
    equal(server.accepted - known, 4);
    await clock.advance(600_000);
    await crowd('e');
    equal(server.accepted - known, 5);
  });

  test('connections that are lost together, each behind one answer, are one accident', async () => {
    let slowMs = Number.POSITIVE_INFINITY;
    const { clock, server, ask } = scene({ workMs: (name) => (isSlow(name) ? slowMs : 0) });
    const slow: Promise<void>[] = [];
    for (const [fastName, slowName] of names('', 6).map((name) => [`fast${name}`, `slow${name}`] as const)) {
      const fast = ask(fastName);
      await clock.advance(10);
      await fast;
      slow.push(ask(slowName));
      await clock.advance(10);
    }
    equal(server.connections.size, 6);
    slowMs = 0;
    for (const connection of [...server.connections]) connection.destroy();
    await clock.advance(50);
    await Promise.all(slow);
    const accepted = server.accepted;
    for (const name of names('b', 20)) {
      const reply = ask(name);
      await clock.advance(10);
      await reply;
    }
    equal(server.accepted, accepted);
  });

  test('a server that closed a connection once, as it ends, is asked as before', async () => {
    const { clock, server, ask } = scene({ closesAfter: 5 });
    for (const count of [8, 20]) {
      const replies = names(`n${count}-`, count).map((name) => ask(name));
      await clock.advance(2);
      server.closesAfter = Number.POSITIVE_INFINITY;
      await clock.advance(50);
      await Promise.all(replies);
    }
    equal(server.received.length, 28);
    // The one that was closed, and as many as such a crowd has anyway.
    ok(server.accepted <= 4, `${server.accepted} connections`);
  });

  test('that a server answered in another order is forgotten with its last connection', async () => {
    const { clock, server, ask, elapsed } = scene({ inAnyOrder: true, workMs: (name) => (isSlow(name) ? 100 : 0) });
    const once = ['slow.example', 'fast.example'].map((name) => ask(name));
    await clock.advance(200);
    await Promise.all(once);
    await clock.advance(10_000);
    equal(server.connections.size, 0);
    server.inAnyOrder = false;
    const again = ['slow1.example', 'fast1.example'].map((name) => ask(name));
    await clock.advance(200);
    await Promise.all(again);
    ok((elapsed.get('fast1.example') ?? timeoutMs) <= 14, `${elapsed.get('fast1.example')} ms`);
  });

  test('each query that is never answered ends in its time, also one that waits for a connection, and then nothing is left', async () => {
    const { clock, server, ask } = scene({ workMs: () => Number.POSITIVE_INFINITY });
    const ends: string[] = [];
    for (const name of names('slow', 40)) {
      const startedAtMs = clock.nowMs();
      // With 32 connections that all hang the others wait.
      const forMs = server.accepted < 32 ? timeoutMs : 500;
      ask(name, { client: name, forMs }).catch(() => ends.push(`${clock.nowMs() - startedAtMs} of ${forMs}`));
      await clock.advance(10);
    }
    await clock.advance(timeoutMs);
    deepEqual(ends, [...Array(8).fill('500 of 500'), ...Array(32).fill('2000 of 2000')]);
    await clock.advance(100);
    equal(server.connections.size, 0);
    equal(server.received.length, 32);
  });

  test('a slow query may hold up others as often as it comes', async () => {
    const { clock, ask, elapsed } = scene({ workMs: (name) => (isSlow(name) ? 100 : 0) });
    for (let round = 0; round < 20; round += 1) {
      const replies = [`slow${round}.example`, ...names(`n${round}-`, 10)].map((name) => ask(name));
      await clock.advance(200);
      await Promise.all(replies);
    }
    for (const [name, ms] of elapsed) ok(isSlow(name) || ms < 20, `${name} took ${ms} ms`);
  });

  test('a server that is slow because it has too much to do is asked little twice', async () => {
    const { clock, server, ask } = scene({ workMs: () => 15 });
    const crowd = names('n', 400);
    const replies = crowd.map((name) => ask(name));
    await clock.advance(1_900);
    await Promise.all(replies);
    ok(server.received.length <= 600, `${server.received.length} queries`);
  });

  test('where queries have to wait, clients take turns: one pod’s flood waits behind itself', async () => {
    const { clock, ask, elapsed } = scene({ workMs: () => 150 });
    const flood = names('slow', 500).map((name) => ask(name, { client: 'flood' }).catch(() => {}));
    await clock.advance(300);
    const others = ['one', 'two'].flatMap((client) => names(client, 3).map((name) => ask(name, { client })));
    await clock.advance(1_900);
    await Promise.all([...others, ...flood]);
    // What was sent before they came is before them, and nothing else: all of the flood would take 2.3 s.
    for (const [name, ms] of elapsed) ok(isSlow(name) || ms <= 1_000, `${name} took ${ms} ms`);
  });

  test('a pause of our own process is nobody else’s slowness', async () => {
    const { clock, server, ask } = scene({ workMs: () => 5 });
    const learn = ask('first.example');
    await clock.advance(10);
    await learn;
    const replies = ['one.example', 'two.example', 'three.example'].map((name) => ask(name));
    clock.pause(100);
    await clock.advance(100);
    await Promise.all(replies);
    deepEqual([server.accepted, server.received.length], [1, 4]);
  });

  test('servers that nobody asks any more are forgotten', async () => {
    const clock = new FakeClock();
    const pools = new TcpPools(clock, new SerialServer(clock).outgoing(roundTripMs));
    for (let host = 1; host <= 200; host += 1) {
      const server = { address: `192.0.2.${host}`, port: 53 };
      const reply = promised((asker) => pools.ask(server, buildQuery({ name: 'n', id: 0 }), timeoutMs, asker));
      await clock.advance(1_000);
      await reply;
    }
    ok(pools.size <= 64, `${pools.size} pools`);
  });

  test('a port that is closed fails all who wait for it, and is tried with a few connections', async () => {
    const { clock, server, ask } = scene({});
    server.isClosed = true;
    const failed = names('n', 300).map((name) => rejects(ask(name), { code: 'NETWORK', message: /ECONNREFUSED/ }));
    await clock.advance(5);
    await Promise.all(failed);
    equal(clock.pending, 0);
    equal(server.attempts, 4);
  });

  test('a server that is gone is tried with a few connections, whatever is asked meanwhile', async () => {
    const { clock, server, ask } = scene({});
    server.isGone = true;
    const failed: Promise<void>[] = [];
    for (const name of names('n', 80)) {
      failed.push(rejects(ask(name), { name: 'Error' }));
      await clock.advance(10);
    }
    equal(server.attempts, 4);
    await clock.advance(1_300);
    await Promise.all(failed);
    ok(server.attempts <= 8);
  });

  test('a connection beyond those at rest does not close under a query', async () => {
    const { clock, server, ask } = scene({ workMs: () => 1_500 });
    const replies: Promise<void>[] = [];
    for (const name of names('slow', 4)) {
      replies.push(ask(name));
      await clock.advance(20);
    }
    await clock.advance(1_900);
    await Promise.all(replies);
    equal(server.received.length, 4);
  });

  test('a connection that the server closes with queries under way costs them nothing', async () => {
    const { clock, server, ask } = scene({ workMs: () => 3 });
    const replies = names('n', 4).map((name) => ask(name));
    await clock.advance(5);
    for (const connection of server.connections) connection.destroy();
    await clock.advance(40);
    await Promise.all(replies);
    equal(server.accepted, 2);
    await settle();
  });
});
