import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { waitBoundMicros, waitPlace, waitPlaces } from './waits.ts';

test('each wait is in the place whose bounds it lies between, and bounds are at most a quarter apart', () => {
  const last = waitPlaces - 1;
  for (let micros = 1; micros < 6e6; micros = Math.ceil(micros * 1.01)) {
    const place = waitPlace(micros / 1000);
    const above = place === 0 ? 0 : waitBoundMicros(place - 1);
    const below = waitBoundMicros(place);
    // A microsecond in milliseconds may be a hair less than one.
    ok(above <= micros + 1e-6 && micros - 1e-6 < below, `${micros} µs in place ${place}: ${above} to ${below}`);
    if (place > 0 && place < last) ok(below <= above * 1.25, `${above} to ${below}`);
  }
  deepEqual([waitPlace(0), waitPlace(0.063), waitPlace(0.064), waitPlace(4194), waitPlace(4195)], [0, 0, 1, 64, last]);
});

test('what no query waits for is counted, too', () => {
  equal(waitPlace(1e9), waitPlaces - 1);
  equal(waitPlace(-1), 0);
  equal(waitBoundMicros(waitPlaces - 1), Number.POSITIVE_INFINITY);
});
