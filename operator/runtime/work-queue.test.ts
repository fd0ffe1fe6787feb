import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { FakeClock } from '../../kube/clock.fake.ts';
import { WorkQueue } from './work-queue.ts';

let clock: FakeClock;
let queue: WorkQueue;

beforeEach(() => {
  clock = new FakeClock();
  clock.randomValue = 0;
  queue = new WorkQueue(clock, { minMs: 100, maxMs: 1000 });
});

test('a key added several times is taken once, in the order of first adding', async () => {
  for (const key of ['a', 'b', 'a', 'a']) queue.add(key);
  assert.equal(queue.depth, 2);
  assert.deepEqual([await queue.take(), await queue.take()], ['a', 'b']);
  assert.equal(queue.depth, 0);
});

test('a key added while it is in work is not given to a second worker, and is ready again when done', async () => {
  queue.add('a');
  await queue.take();
  queue.add('a');
  assert.equal(queue.depth, 0);
  queue.done('a');
  assert.equal(await queue.take(), 'a');
});

test('a waiting worker gets the key at once', async () => {
  const taken = queue.take();
  queue.add('a');
  assert.equal(await taken, 'a');
  queue.add('a');
  assert.equal(queue.depth, 0, 'in work, so not ready');
});

test('a delayed key becomes ready when its time has come, the earlier of two times', async () => {
  queue.addAfter('a', 500);
  queue.addAfter('a', 200);
  queue.addAfter('a', 900);
  clock.advance(199);
  assert.equal(queue.depth, 0);
  clock.advance(1);
  assert.equal(queue.depth, 1);
  clock.advance(1000);
  assert.equal(queue.depth, 1);
});

test('adding a delayed key makes it ready now, and only once', async () => {
  queue.addAfter('a', 500);
  queue.add('a');
  await queue.take();
  queue.done('a');
  clock.advance(1000);
  assert.equal(queue.depth, 0);
});

test('each key has a backoff of its own, which doubles to its bound and starts over when forgotten', () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => queue.retry('a')),
    [100, 200, 400, 800, 1000],
  );
  assert.equal(queue.retry('b'), 100);
  queue.forget('a');
  assert.equal(queue.retry('a'), 100);
});

test('a retry waits at least as long as the server asked for', () => {
  assert.equal(queue.retry('a', 5000), 5000);
});

test('close sends waiting workers home and drops every timer', async () => {
  const taken = queue.take();
  queue.addAfter('a', 100);
  queue.close();
  assert.equal(await taken, undefined);
  assert.deepEqual(clock.pendingMs(), []);
  queue.add('b');
  assert.equal(await queue.take(), undefined);
});

test('a held queue gathers keys, hands none out, and hands out all once it is released', async () => {
  queue = new WorkQueue(clock, { minMs: 100, maxMs: 1000 }, { held: true });
  queue.add('a');
  queue.addAfter('b', 500);
  const taken: (string | undefined)[] = [];
  const take = async (): Promise<unknown> => taken.push(await queue.take());
  const takers = [take(), take()];
  clock.advance(500);
  await Promise.resolve();
  assert.deepEqual([taken, queue.depth], [[], 2]);
  queue.release();
  await Promise.all(takers);
  assert.deepEqual(taken, ['a', 'b']);
  queue.hold();
  void take();
  queue.add('c');
  await Promise.resolve();
  assert.deepEqual([taken.length, queue.depth], [2, 1]);
});

test('which of those that are ready is next is up to their places, which may change while they wait', async () => {
  let rank = 1;
  const placeOf = (key: string) => ({ rank: key === 'late' ? rank : 1, line: key });
  queue = new WorkQueue(clock, undefined, { placeOf, held: true });
  for (const key of ['a', 'late', 'b']) queue.add(key);
  rank = 0;
  queue.add('late');
  queue.release();
  assert.deepEqual([await queue.take(), await queue.take(), await queue.take()], ['late', 'a', 'b']);
});

test('it tells how long a key waited for a worker since it was ready, and how often keys were repeated', async () => {
  const waits: number[] = [];
  queue = new WorkQueue(clock, { minMs: 100, maxMs: 1000 }, { onTaken: (waitedMs) => waits.push(waitedMs) });
  queue.add('a');
  clock.advance(300);
  queue.add('a');
  clock.advance(200);
  await queue.take();
  queue.retry('a');
  queue.done('a');
  clock.advance(150);
  await queue.take();
  assert.deepEqual([waits, queue.retries], [[500, 50], 1]);
});
