import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { FakeClock } from '../../kube/clock.fake.ts';
import { Rest } from './rest.ts';

let clock: FakeClock;
let cpuMs: number;
let told: number[];
let rest: Rest;

beforeEach(() => {
  clock = new FakeClock();
  cpuMs = 500;
  told = [];
  rest = new Rest({ clock, cpuMs: () => cpuMs, onThought: (cpuSeconds) => told.push(cpuSeconds) });
});

/** On a machine that has other things to do too. */
function work(): string {
  cpuMs += 5;
  clock.advance(400);
  return 'done';
}

test('after work nothing begins for so many times as long as it took, and before any work when it is wanted', () => {
  assert.equal(rest.afterMs(20, 10), 20);
  assert.equal(rest.after(work), 'done');
  assert.deepEqual([rest.afterMs(20, 2), rest.afterMs(20, 10), rest.afterMs(20, 100)], [20, 50, 500]);
  clock.advance(40);
  assert.deepEqual([rest.afterMs(20, 10), rest.afterMs(20, 100)], [20, 460]);
  assert.deepEqual(told, [0.005]);
});

test('a second at most', () => {
  rest.after(work);
  assert.equal(rest.afterMs(20, 1_000), 1_000);
});

test('it takes the processor time of its own thread', () => {
  const real = new Rest({ clock, onThought: (cpuSeconds) => told.push(cpuSeconds) });
  const before = process.threadCpuUsage();
  real.after(() => {
    for (let micros = 0; micros < 5_000; ) {
      const { user, system } = process.threadCpuUsage(before);
      micros = user + system;
    }
  });
  assert.ok((told[0] ?? 0) > 0.001 && (told[0] ?? 0) < 1, `${told}`);
});
