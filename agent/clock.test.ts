import { deepEqual, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { atOneTime, systemClock } from './clock.ts';

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

test('time stands still while a batch is served, whatever comes of it, and goes on behind it', () => {
  const pass = (ms: number) => {
    for (const untilMs = performance.now() + ms; performance.now() < untilMs; );
  };
  const startMs = systemClock.nowMs();
  const seen: number[] = [];
  const see = () => {
    seen.push(systemClock.nowMs());
    pass(2);
  };
  atOneTime(() => {
    see();
    atOneTime(see);
    see();
  });
  deepEqual(new Set(seen).size, 1);
  ok(systemClock.nowMs() >= startMs + 6);
  throws(() =>
    atOneTime(() => {
      throw new Error('a bug');
    }),
  );
  const beforeMs = systemClock.nowMs();
  pass(2);
  ok(systemClock.nowMs() >= beforeMs + 2);
});
