import { deepEqual, equal, ok } from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type AskingHabits, isSlow, names, scene } from './serial-scene.fake.ts';

const never = Number.POSITIVE_INFINITY;
const unanswerable = { workMs: (name: string) => (isSlow(name) ? never : 0) };
const flood = 'flood';

type Scene = ReturnType<typeof scene>;

/** Nobody waits for it here. */
const letGo = ({ ask }: Scene, name: string, asking: AskingHabits = {}) => {
  ask(name, { client: flood, ...asking }).catch(() => {});
};

/** One that is answered is asked each 10 ms, and so many others meanwhile; what the former took, in order of length. */
async function besideFlood(
  among: Scene,
  floods: readonly string[],
  perTenMs: number,
  forMs: number,
): Promise<number[]> {
  const { clock, ask, elapsed } = among;
  const replies: Promise<void>[] = [];
  for (let turn = 0; turn * 10 < forMs; turn += 1) {
    for (const client of floods) {
      for (const name of names(`slow-${client}-${turn}-`, perTenMs)) letGo(among, name, { client });
    }
    await clock.advance(3);
    replies.push(ask(`fast${turn}.example`, { client: 'other' }));
    await clock.advance(7);
  }
  await clock.advance(2_000);
  await Promise.all(replies);
  return [...elapsed.values()].sort((a, b) => a - b);
}

suite('clients share the connections to a server', () => {
  for (const inAnyOrder of [false, true]) {
    for (const { title, floods, perTenMs } of [
      { title: 'one client’s 100 unanswerable names a second', floods: [flood], perTenMs: 1 },
      { title: 'one client’s 1,000', floods: [flood], perTenMs: 10 },
      { title: 'those of three clients', floods: ['a', 'b', 'c'], perTenMs: 1 },
    ]) {
      const order = inAnyOrder ? 'in any order' : 'one after the other';
      test(`${title} cost another’s nothing, and a few of them a moment, where answers come ${order}`, async () => {
        const among = scene({ ...unanswerable, inAnyOrder });
        const took = await besideFlood(among, floods, perTenMs, 6_000);
        equal(took.length, 600);
        ok((took[300] ?? never) <= 2, `half of them took ${took[300]} ms`);
        ok((took[593] ?? never) <= 20, `99 of 100 took ${took[593]} ms`);
        ok((took[599] ?? never) <= 40, `the slowest took ${took[599]} ms`);
        ok(among.server.mostConnections < 32, `${among.server.mostConnections} connections`);
      });
    }
  }

  test('one client’s slow queries have 24 connections at most, and what it asks on waits for these', async () => {
    const among = scene({ workMs: () => 500 });
    const { clock, server, elapsed } = among;
    for (const name of names('slow', 30)) {
      letGo(among, name);
      await clock.advance(10);
    }
    equal(server.connections.size, 24);
    await clock.advance(1_000);
    equal(elapsed.size, 30);
    equal(server.mostConnections, 24);
  });

  test('one client’s flood with no answer fills three quarters of what a connection has room for', async () => {
    const among = scene({ ...unanswerable, inAnyOrder: true });
    const { clock, ask, elapsed } = among;
    for (const name of names('slow', 500)) letGo(among, name);
    await clock.advance(1);
    const fast = names('fast', 4).map((name) => ask(name, { client: name }));
    await clock.advance(10);
    await Promise.all(fast);
    for (const [name, ms] of elapsed) ok(ms <= 3, `${name} took ${ms} ms`);
  });

  test('a client that holds a connection up and the others are asked for over connections of their own', async () => {
    const { clock, server, ask, ...rest } = scene({ workMs: (name) => (isSlow(name) ? never : 3) });
    const among = { clock, server, ask, ...rest };
    letGo(among, 'slow0.example');
    await clock.advance(20);
    const before = ask('before.example', { client: 'other' });
    letGo(among, 'slow1.example');
    const after = ask('after.example', { client: 'another' });
    await clock.advance(20);
    await Promise.all([before, after]);
    const over = new Map(server.received.map(({ name, connection }) => [name, connection]));
    equal(over.get('before.example'), over.get('after.example'));
    equal(new Set(over.values()).size, 3);
    // Neither was asked twice: nothing was before them.
    equal(server.received.length, 4);
  });

  test('what is moved is mostly for those who hold nothing up', async () => {
    const among = scene(unanswerable);
    const { clock, ask, elapsed } = among;
    // Behind the same slow ones, later than the flood.
    for (const name of names('slow', 100)) letGo(among, name);
    const fast = names('fast', 8).map((name) => ask(name, { client: 'other' }));
    await clock.advance(60);
    await Promise.all(fast);
    for (const [name, ms] of elapsed) ok(ms <= 20, `${name} took ${ms} ms`);
  });

  test('a connection closes that is busy for long with what nobody waits for, though it answered others meanwhile', async () => {
    const among = scene({ workMs: (name) => (isSlow(name) ? never : 1_000) });
    const { clock, server, ask } = among;
    const mayRepeat = () => false;
    const before = ask('before.example', { mayRepeat });
    letGo(among, 'slow.example', { mayRepeat, client: '' });
    await clock.advance(1_900);
    await before;
    equal(server.connections.size, 1);
    await clock.advance(110);
    equal(server.connections.size, 0);
  });

  test('one that gets on stays, whatever has expired on it', async () => {
    const among = scene({ workMs: () => 150 });
    const { clock, server, elapsed } = among;
    for (const name of names('n', 5)) letGo(among, name, { mayRepeat: () => false, forMs: 500 });
    await clock.advance(760);
    deepEqual([...elapsed.keys()], ['n0.example', 'n1.example', 'n2.example']);
    deepEqual([server.accepted, server.connections.size, server.received.length], [1, 1, 5]);
  });

  test('a connection that is given up makes no other one suspect, and what was behind it is asked as if it were new', async () => {
    const among = scene(unanswerable);
    const { clock, server, asked, ask } = among;
    const fromMs = clock.nowMs() + 2_000;
    const mayRepeat = () => clock.nowMs() >= fromMs;
    letGo(among, 'slow0.example', { mayRepeat });
    let failure = '';
    ask('slow1.example', { mayRepeat, client: flood, forMs: 6_000 }).catch(({ message }) => {
      failure = message;
    });
    await clock.advance(1_500);
    const fast = ask('fast.example', { client: 'other' });
    await clock.advance(499);
    await fast;
    deepEqual([server.accepted, asked('slow1.example')], [2, 0]);
    await clock.advance(10);
    // Over the one that the other client's query had been asked over.
    deepEqual([server.accepted, server.connections.size, asked('slow1.example')], [2, 1, 1]);
    for (const connection of server.connections) connection.destroy();
    await clock.advance(20);
    deepEqual([failure, asked('slow1.example')], ['', 2]);
  });

  test('and the loss of the next one costs that no more than one', async () => {
    const among = scene({ workMs: (name) => (isSlow(name) ? never : 1_800) });
    const { clock, server, asked, ask } = among;
    const fromMs = clock.nowMs() + 2_000;
    const mayRepeat = () => clock.nowMs() >= fromMs;
    letGo(among, 'slow0.example', { mayRepeat });
    letGo(among, 'slow1.example', { mayRepeat, forMs: 6_000 });
    await clock.advance(50);
    const fast = ask('fast.example', { client: 'other' });
    await clock.advance(1_900);
    await fast;
    letGo(among, 'slow2.example', { client: 'other' });
    await clock.advance(60);
    equal(asked('slow1.example'), 1);
    for (const connection of server.connections) connection.destroy();
    await clock.advance(20);
    equal(asked('slow1.example'), 2);
  });

  test('where one client has to wait on, another that came later does not', async () => {
    const among = scene(unanswerable);
    const { clock, ask, elapsed } = among;
    for (const name of names('slow', 32)) {
      letGo(among, name, { client: name, forMs: name === 'slow0.example' ? 6_000 : 2_000 });
      await clock.advance(10);
    }
    letGo(among, 'slow.example', { client: 'slow0.example', forMs: 6_000 });
    const fast = ask('fast.example', { client: 'other' });
    // The first connection that has come free is for it.
    await clock.advance(1_720);
    await fast;
    ok((elapsed.get('fast.example') ?? never) <= 1_700, `${elapsed.get('fast.example')} ms`);
  });

  test('a client that holds nothing up any more shares a connection with the others again', async () => {
    const among = scene({ workMs: (name) => (isSlow(name) ? 100 : 3) });
    const { clock, server, ask } = among;
    letGo(among, 'slow.example');
    await clock.advance(120);
    const replies = [ask('one.example', { client: 'other' }), ask('two.example', { client: flood })];
    await clock.advance(20);
    await Promise.all(replies);
    equal(server.accepted, 1);
  });
});
