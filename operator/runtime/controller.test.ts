import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FakeClock } from '../../kube/clock.fake.ts';
import { ApiError, UnreachableError } from '../../kube/errors.ts';
import { Controller, type Reconcile, type Result } from './controller.ts';
import { TerminalError } from './errors.ts';
import { WorkQueue } from './work-queue.ts';

let clock: FakeClock;
let queue: WorkQueue;
let controller: Controller;
let failures: string[];

beforeEach(() => {
  clock = new FakeClock();
  clock.randomValue = 0;
  queue = new WorkQueue(clock, { minMs: 100, maxMs: 1000 });
  failures = [];
});

afterEach(() => controller.stop());

function run(reconcile: Reconcile, workers = 1): void {
  const onFailure = (key: string, { code }: { code: string }, retryAfterMs: number | undefined): void => {
    failures.push(`${key} ${code} ${retryAfterMs}`);
  };
  controller = new Controller({ queue, reconcile, workers, onFailure });
  controller.start();
}

/** Runs a reconcile that first does what `first` says and then succeeds; returns the number of runs after `afterMs`. */
async function runs(first: () => Result, afterMs: number): Promise<number> {
  let count = 0;
  run(async () => (++count === 1 ? first() : {}));
  queue.add('k');
  await turn();
  clock.advance(afterMs);
  await turn();
  return count;
}

function throwing(error: Error): () => never {
  return () => {
    throw error;
  };
}

test('a terminal failure is told and not repeated', async () => {
  assert.equal(await runs(throwing(new TerminalError('no')), 100_000), 1);
  assert.deepEqual(failures, ['k TERMINAL undefined']);
  assert.equal(controller.tally.terminal, 1);
});

test('what the API server calls invalid is terminal', async () => {
  assert.equal(await runs(throwing(new ApiError(422, 'Invalid', 'no')), 100_000), 1);
});

test('a conflict is repeated with backoff', async () => {
  assert.equal(await runs(throwing(new ApiError(409, 'Conflict', 'no')), 100), 2);
  assert.deepEqual(failures, ['k KUBE_API_409 100']);
  assert.deepEqual([controller.tally.conflict, controller.tally.done], [1, 1]);
});

test('a transient failure is repeated no sooner than the server asked', async () => {
  assert.equal(await runs(throwing(new ApiError(429, '', 'later', 4000)), 3999), 1);
  assert.deepEqual(failures, ['k KUBE_API_429 4000']);
});

test('an unreachable API server and an unforeseen exception are both repeated, under their codes', async () => {
  const errors = [new UnreachableError('gone'), new TypeError('bug')];
  run(async () => {
    throw errors.shift() ?? new TerminalError('end');
  });
  queue.add('k');
  for (let step = 0; step < 3; step++) {
    await turn();
    clock.advance(1000);
  }
  await turn();
  assert.deepEqual(failures, ['k KUBE_UNREACHABLE 100', 'k INTERNAL 200', 'k TERMINAL undefined']);
});

test('a result may ask to be run again later', async () => {
  assert.equal(await runs(() => ({ requeueAfterMs: 5000 }), 5000), 2);
  assert.deepEqual([controller.tally.requeued, controller.tally.done], [1, 1]);
});

test('a success resets the backoff', async () => {
  let count = 0;
  run(async () => {
    if (++count % 2 === 1) throw new UnreachableError('gone');
    return {};
  });
  queue.add('k');
  await turn();
  clock.advance(100);
  await turn();
  queue.add('k');
  await turn();
  assert.deepEqual(failures, ['k KUBE_UNREACHABLE 100', 'k KUBE_UNREACHABLE 100']);
});

test('workers run side by side, never two on one key', async () => {
  const inWork: string[] = [];
  let most = 0;
  run(async (key) => {
    assert.ok(!inWork.includes(key));
    inWork.push(key);
    most = Math.max(most, inWork.length);
    await turn();
    inWork.splice(inWork.indexOf(key), 1);
    return {};
  }, 3);
  for (const key of ['a', 'b', 'c', 'd', 'a', 'b']) queue.add(key);
  for (let step = 0; step < 10; step++) await turn();
  assert.equal(most, 3);
  assert.equal(controller.tally.done, 4 + 2);
});
