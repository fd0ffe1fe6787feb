import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from './clock.fake.ts';
import { UnreachableError } from './errors.ts';
import { Pace } from './pace.ts';

/** When each of so many turns came, all asked for at once. */
async function turns(pace: Pace, clock: FakeClock, count: number): Promise<number[]> {
  const sinceMs = clock.nowMs();
  const came: number[] = [];
  const asked = Array.from({ length: count }, () => pace.turn().then(() => came.push(clock.nowMs() - sinceMs)));
  const all = Promise.all(asked);
  for (let step = 0; came.length < count; step += 1) {
    assert.ok(step < 10_000, 'they never came');
    await new Promise(setImmediate);
    if (came.length < count) clock.advance(1);
  }
  await all;
  return came;
}

test('turns come at the rate, after the few that were saved up', async () => {
  const clock = new FakeClock();
  const pace = new Pace(50, clock);
  const came = await turns(pace, clock, 26);
  assert.deepEqual(came.slice(0, 8), [0, 0, 0, 0, 0, 0, 20, 40]);
  assert.equal(came.at(-1), 400);
});

test('an hour of silence saves up no more than a moment of it', async () => {
  const clock = new FakeClock();
  const pace = new Pace(50, clock);
  await turns(pace, clock, 20);
  clock.advance(3_600_000);
  const came = await turns(pace, clock, 8);
  assert.deepEqual(came, [0, 0, 0, 0, 0, 0, 20, 40]);
});

test('whoever waits when it is closed is sent home, and nobody waits any more', async () => {
  const clock = new FakeClock();
  const pace = new Pace(1, clock);
  await pace.turn();
  const waiting = pace.turn();
  pace.close();
  await assert.rejects(waiting, UnreachableError);
  await assert.rejects(pace.turn(), UnreachableError);
  assert.deepEqual(clock.pendingMs(), []);
});
