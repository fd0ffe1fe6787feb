import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FakeClock } from '../kube/clock.fake.ts';
import { Takeover } from './takeover.ts';

let clock: FakeClock;
let takeover: Takeover;
/** Ends each reading, in the order in which they were begun. */
let readings: (() => void)[];
let told: string[];

beforeEach(() => {
  clock = new FakeClock();
  readings = [];
  told = [];
  takeover = new Takeover({
    clock,
    refresh: () => new Promise((resolve) => readings.push(resolve)),
    begin: (waitedMs) => told.push(`begins after ${waitedMs / 1000} s`),
    onWait: (seconds) => told.push(`${seconds} s`),
  });
});

test('nothing begins before all was read anew, and a leader who waits for that says so again and again', async () => {
  void takeover.begin();
  await turn();
  clock.advance(5_000);
  clock.advance(5_000);
  assert.deepEqual(told, ['5 s', '10 s']);
  readings[0]?.();
  await turn();
  clock.advance(60_000);
  assert.deepEqual(told, ['5 s', '10 s', 'begins after 10 s']);
});

test('who has lost the Lease meanwhile begins nothing, and says nothing', async () => {
  void takeover.begin();
  takeover.end();
  readings[0]?.();
  await turn();
  clock.advance(60_000);
  assert.deepEqual(told, []);
});

test('who has won it again waits for what is read in that turn', async () => {
  void takeover.begin();
  takeover.end();
  void takeover.begin();
  readings[0]?.();
  await turn();
  assert.deepEqual(told, []);
  readings[1]?.();
  await turn();
  assert.deepEqual(told, ['begins after 0 s']);
});
