import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type InputCounts, InputWatch } from './input-watch.ts';

const beatMs = 500;

/** Counts as they grow from beat to beat, and what is concluded of them. */
function scene() {
  const watch = new InputWatch();
  const counts: InputCounts = { intercepted: 0, tried: 0, arrived: 0, proved: 0 };
  let nowMs = 0;
  return {
    beat(growth: Partial<InputCounts>, afterMs = beatMs): boolean {
      nowMs += afterMs;
      for (const [name, value] of Object.entries(growth)) counts[name as keyof InputCounts] += value;
      return watch.observe(counts, nowMs);
    },
    get verdict() {
      return watch.verdict(nowMs);
    },
  };
}

const fine = { blocked: false, partly: false };

test('what arrives raises no doubt, however much', () => {
  const { beat, verdict } = scene();
  assert.equal(beat({ tried: 2, proved: 2, arrived: 2 }), false);
  for (let round = 0; round < 20; round += 1) assert.equal(beat({ intercepted: 500, arrived: 500 }), false);
  assert.deepEqual(verdict, fine);
});

test('a packet between the two counts is no loss at the next look', () => {
  const { beat } = scene();
  beat({ tried: 1, proved: 1, arrived: 1 });
  assert.equal(beat({ intercepted: 100, arrived: 99 }), false);
  assert.equal(beat({ intercepted: 100, arrived: 101 }), false);
  assert.equal(beat({ intercepted: 100, arrived: 99 }), false);
  assert.equal(beat({ intercepted: 100, arrived: 101 }), false);
});

test('three lost are doubted at once, one at the second look, and each loss once', () => {
  const many = scene();
  many.beat({ tried: 1, proved: 1, arrived: 1 });
  assert.equal(many.beat({ intercepted: 100, arrived: 97 }), true);
  assert.equal(many.beat({ intercepted: 100, arrived: 100 }), false);
  assert.equal(many.beat({ intercepted: 100, arrived: 100 }), false);
  const one = scene();
  one.beat({ tried: 1, proved: 1, arrived: 1 });
  assert.equal(one.beat({ intercepted: 1 }), false);
  assert.equal(one.beat({}), true);
  assert.equal(one.beat({}), false);
});

test('trials that fail are no doubt: alone they block, beside others that arrive they do not', () => {
  const alone = scene();
  assert.equal(alone.beat({ tried: 2 }), false);
  assert.deepEqual(alone.verdict, fine, 'they may be under way');
  assert.equal(alone.beat({}), false);
  assert.deepEqual(alone.verdict, { blocked: true, partly: false });
  const beside = scene();
  beside.beat({ tried: 2, proved: 1, arrived: 1 });
  beside.beat({ intercepted: 10, arrived: 10 });
  assert.deepEqual(beside.verdict, { blocked: false, partly: true });
});

test('what arrived before a doubt counts no more: a rule that came since may drop all', () => {
  const all = scene();
  all.beat({ tried: 1, proved: 1, arrived: 1 });
  all.beat({ intercepted: 100, arrived: 100 });
  assert.equal(all.beat({ intercepted: 100, arrived: 40 }), true);
  assert.deepEqual(all.verdict, fine, 'the trials are still to come');
  all.beat({ tried: 3 });
  all.beat({});
  assert.deepEqual(all.verdict, { blocked: true, partly: false });
  all.beat({ tried: 1, proved: 1, arrived: 1 });
  assert.deepEqual(all.verdict, { blocked: false, partly: true });
});

test('a failed trial is remembered until its source has been tried again, and no longer', () => {
  const watched = scene();
  watched.beat({ tried: 1 });
  watched.beat({});
  watched.beat({}, 5 * 60_000);
  assert.deepEqual(watched.verdict, { blocked: true, partly: false });
  watched.beat({}, 2 * 60_000);
  assert.deepEqual(watched.verdict, fine);
});
