import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import type { Figures } from '../figures.ts';
import { Past } from './past.ts';

/** As of a listener that answers once a millisecond. */
const at = (atMs: number): { atMs: number; figures: Figures } => ({
  atMs,
  figures: { answers: atMs, servFails: 0, waits: [] },
});

test('a window of the past is as long as wanted within 5 % and a second, and of a day there are some hundred moments', () => {
  const past = new Past();
  const day = 86_400_000;
  const end = 1.1 * day;
  let most = 0;
  for (let ms = 0; ms <= end; ms += 1_000) {
    past.note(ms, at(ms).figures);
    most = Math.max(most, past.length);
  }
  ok(most < 400, `${most} moments`);
  for (const ms of [0, 1_000, 10_000, 60_000, 600_000, 3_600_000, day]) {
    const long = past.window(at(end), ms)?.answers ?? 0;
    ok(long >= ms && long <= ms * 1.05 + 1_000, `${long} for ${ms}`);
  }
  ok(past.window(at(end), 1.05 * day) === undefined, 'nothing asks for more than a day');
});

test('there is no window that begins before the past does', () => {
  const past = new Past();
  past.note(5_000, at(5_000).figures);
  past.note(6_000, at(6_000).figures);
  equal(past.window(at(10_000), 5_001), undefined);
  deepEqual(past.window(at(10_000), 5_000)?.answers, 5_000);
  past.clear();
  equal(past.window(at(10_000), 0), undefined);
});
