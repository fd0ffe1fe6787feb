import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { FakeClock } from '../../kube/clock.fake.ts';
import { ApiError, UnreachableError } from '../../kube/errors.ts';
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
  const all = async (): Promise<void> => {
    for (const name of names) await refused(name, '5');
    clock.advance(1_000);
    for (const name of names) await refused(name, '5');
  };
  await all();
  assert.equal(refreshes, 1);
  answer();
  await all();
  assert.equal(refreshes, 2);
});
