import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { FakeClock } from '../../kube/clock.fake.ts';
import { ApiError, ResourceMissingError, UnreachableError } from '../../kube/errors.ts';
import { NODES } from '../../kube/resource.ts';
import { Lag } from './lag.ts';

let clock: FakeClock;
let lag: Lag;
let refreshes: number;
let answer: () => void;

const store = {
  refresh: () => {
    refreshes += 1;
    return new Promise<void>((resolve) => {
      answer = resolve;
    });
  },
};
const conflict = new ApiError(409, 'Conflict', 'the object has been modified');

beforeEach(() => {
  clock = new FakeClock();
  lag = new Lag(clock);
  refreshes = 0;
});

async function refused(key: string, seen: string, error: Error = conflict): Promise<void> {
  await assert.rejects(
    lag.trying({ key, seen, stores: [store] }, () => Promise.reject(error)),
    error,
  );
}

test('a store is read anew where what it says is too old for a second', async () => {
  await refused('profile/a', '5');
  clock.advance(999);
  await refused('profile/a', '5');
  assert.equal(refreshes, 0);
  clock.advance(1);
  await refused('profile/a', '5');
  assert.equal(refreshes, 1);
});

test('a store that has told something newer is alive, and so is one of which a write was taken', async () => {
  await refused('profile/a', '5');
  clock.advance(2_000);
  await refused('profile/a', '6');
  clock.advance(999);
  await lag.trying({ key: 'profile/a', seen: '6', stores: [store] }, async () => {});
  clock.advance(2_000);
  await refused('profile/a', '6');
  assert.equal(refreshes, 0);
});

test('an API server that is away makes no store old', async () => {
  await refused('profile/a', '5', new UnreachableError('gone'));
  clock.advance(2_000);
  await refused('profile/a', '5', new UnreachableError('gone'));
  assert.equal(refreshes, 0);
});

test('many writes that are refused are one reading, and later ones another', async () => {
  const names = ['a', 'b', 'c'];
  const all = async (seen: string): Promise<void> => {
    for (const name of names) await refused(name, seen);
    clock.advance(1_000);
    for (const name of names) await refused(name, seen);
  };
  await all('5');
  assert.equal(refreshes, 1);
  answer();
  clock.advance(9_000);
  await all('6');
  assert.equal(refreshes, 2);
});

test('a write that is refused though all was read anew is refused for another reason, and orders no more readings', async () => {
  await refused('node/a', '5');
  clock.advance(1_000);
  await refused('node/a', '5');
  answer();
  for (let minutes = 0; minutes < 10; minutes++) {
    clock.advance(60_000);
    await refused('node/a', '5');
  }
  assert.equal(refreshes, 1);
  await refused('node/a', '6');
  clock.advance(1_000);
  await refused('node/a', '6');
  assert.equal(refreshes, 2);
});

test('whatever is refused, a store is read anew every ten seconds at the most, and then for who was refused meanwhile', async () => {
  await refused('node/first', '5');
  for (let ms = 0; ms < 30_000; ms += 100) {
    clock.advance(100);
    for (const name of ['first', `at ${ms}`, `at ${ms - 1_000}`]) await refused(`node/${name}`, '5');
    answer?.();
  }
  assert.equal(refreshes, 3);
  clock.advance(10_000);
  await refused('node/at 29900', '5');
  assert.equal(refreshes, 4);
});

test('a kind that the API server does not know makes no store old', async () => {
  const missing = new ResourceMissingError(NODES);
  await refused('node/a', '5', missing);
  clock.advance(2_000);
  await refused('node/a', '5', missing);
  assert.equal(refreshes, 0);
});

test('an object that has vanished makes the store old that still has it', async () => {
  const vanished = new ApiError(404, 'NotFound', 'nodes "a" not found');
  await refused('node/a', '5', vanished);
  clock.advance(1_000);
  await refused('node/a', '5', vanished);
  assert.equal(refreshes, 1);
});

test('a reading that takes long is not ordered a second time', async () => {
  await refused('node/a', '5');
  clock.advance(1_000);
  await refused('node/a', '5');
  clock.advance(60_000);
  await refused('node/a', '6');
  clock.advance(1_000);
  await refused('node/a', '6');
  assert.equal(refreshes, 1);
});

test('what was refused in another term counts no more', async () => {
  await refused('node/a', '5');
  clock.advance(1_000);
  lag.clear();
  await refused('node/a', '5');
  assert.equal(refreshes, 0);
});
