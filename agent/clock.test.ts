import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { systemClock } from './clock.ts';

test('what is due already is due now, and no mistake', async () => {
  const warnings: Error[] = [];
  const note = (warning: Error) => void warnings.push(warning);
  process.on('warning', note);
  try {
    systemClock.after(-0.34, () => {}).cancel();
    await nextTurn();
    deepEqual(warnings, []);
  } finally {
    process.off('warning', note);
  }
});

test('time stands still within a turn of the loop, and goes on with the next', async () => {
  for (let turn = 0; turn < 3; turn += 1) {
    const startMs = systemClock.nowMs();
    const realMs = performance.now();
    while (performance.now() < realMs + 2);
    equal(systemClock.nowMs(), startMs);
    await nextTurn();
    ok(systemClock.nowMs() >= startMs + 2);
  }
});
