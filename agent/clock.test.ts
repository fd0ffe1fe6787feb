import { deepEqual } from 'node:assert/strict';
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
