import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import type { Timer } from './clock.ts';
import { TimerWheel } from './timer-wheel.ts';

const startMs = 1_000.25;
let nowMs: number;
let wheel: TimerWheel;
let fired: string[];
/** What is due once the sockets have been looked at. */
let reading: (() => void)[];
/** What wakes the wheel: one at a time. */
let wake: { atMs: number; callback: () => void } | undefined;

function begin(atMs: number): void {
  nowMs = atMs;
  fired = [];
  wake = undefined;
  reading = [];
  wheel = new TimerWheel(
    () => nowMs,
    (delayMs, callback) => {
      assert.equal(wake, undefined, 'the one before was not cancelled');
      wake = { atMs: nowMs + delayMs, callback };
      return {
        cancel: () => {
          wake = undefined;
        },
      };
    },
    (callback) => reading.push(callback),
  );
}

beforeEach(() => begin(startMs));

function runDue(): void {
  if (wake === undefined || wake.atMs > nowMs) return;
  const { callback } = wake;
  wake = undefined;
  callback();
}

function haveRead(): void {
  for (const callback of reading.splice(0)) callback();
}

function step(ms: number): void {
  for (let passed = 0; passed < ms; passed += 1) {
    nowMs += 1;
    runDue();
  }
}

/** Notes its name, and when it fired. */
function set(name: string, delayMs: number): Timer {
  return wheel.after(delayMs, () => fired.push(`${name} ${nowMs - startMs}`));
}

test('timers fire never early and at most a millisecond late, in the order of time, of one millisecond the oldest first', () => {
  set('c', 30);
  set('a', 10.5);
  set('b', 10.6);
  set('at once', 0);
  set('overdue', -5);
  step(40);
  assert.deepEqual(fired, ['at once 1', 'overdue 1', 'a 11', 'b 11', 'c 31']);
});

test('what is due after the wheel has come round fires then, and not a round early', () => {
  set('next round', 4_096 + 10);
  set('third round', 3 * 4_096 + 10);
  set('this round', 10);
  step(4 * 4_096);
  assert.deepEqual(fired, ['this round 11', 'next round 4107', 'third round 12299']);
});

test('what is cancelled does not fire, from within another one as well; those around it do', () => {
  const [first, second] = [set('first', 5), set('second', 5)];
  const last = set('last', 5);
  second.cancel();
  second.cancel();
  wheel.after(4, () => first.cancel());
  step(10);
  assert.deepEqual(fired, ['last 6']);
  last.cancel();
  set('later', 1);
  step(3);
  assert.deepEqual(fired, ['last 6', 'later 12']);
});

for (const fraction of [0.25, 0]) {
  test(`a timer that is set within another one is not due in the same turn, ${fraction} ms past the full one`, () => {
    begin(1_000 + fraction);
    againAndAgain();
  });
}

function againAndAgain(): void {
  const from = nowMs;
  const again = (): void => {
    fired.push(`again ${nowMs - from}`);
    if (fired.length < 3) wheel.after(0, again);
  };
  wheel.after(2, again);
  step(1);
  assert.deepEqual(fired, []);
  step(6);
  const first = Number.isInteger(from) ? 2 : 3;
  assert.deepEqual(fired, [`again ${first}`, `again ${first + 1}`, `again ${first + 2}`]);
}

test('after a long sleep all that is due fires, and what is not due waits on', () => {
  set('soon', 50);
  set('a round later', 4_096 + 20);
  set('far', 30_000);
  nowMs += 10_000;
  runDue();
  haveRead();
  assert.deepEqual(fired.sort(), ['a round later 10000', 'soon 10000']);
  step(20_001);
  assert.deepEqual(fired, ['a round later 10000', 'soon 10000', 'far 30001']);
});

test('one that throws takes no other one with it', () => {
  wheel.after(5, () => {
    throw new Error('a bug');
  });
  set('same time', 5);
  set('later', 8);
  assert.throws(() => step(6), /a bug/);
  step(6);
  assert.deepEqual(fired.length, 2);
});

test('an earlier timer than all others wakes the wheel in time; with none left it sleeps', () => {
  const far = set('far', 3_000);
  step(100);
  set('near', 5);
  step(10);
  assert.deepEqual(fired, ['near 106']);
  far.cancel();
  step(10_000);
  set('after the sleep', 2);
  step(3);
  assert.deepEqual(fired, ['near 106', 'after the sleep 10113']);
});

test('after a pause of the process what has arrived is read before a timer fires, and may cancel it', () => {
  const answered = set('deadline', 50);
  set('other', 60);
  nowMs += 3_000;
  runDue();
  assert.deepEqual(fired, []);
  answered.cancel();
  assert.equal(wake, undefined);
  haveRead();
  assert.deepEqual(fired, ['other 3000']);
});

test('to be woken some milliseconds late is no pause', () => {
  set('a', 50);
  nowMs += 130;
  runDue();
  assert.deepEqual(fired, ['a 130']);
});
