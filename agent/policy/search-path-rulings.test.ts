import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SearchPathRulings } from './search-path-rulings.ts';

const day = 24 * 3_600_000;
const room = 1_024;

function rulings() {
  const seen = { forgotten: 0 };
  const known = new SearchPathRulings(() => {
    seen.forgotten += 1;
  });
  const rule = (kind: string, nowMs: number) => {
    assert.equal(known.judge(kind, nowMs), 'unproven');
    known.deny(kind);
  };
  return { known, seen, rule };
}

test('a kind is asked about until it is denied, then one of 64, and one in five minutes', () => {
  const { known, rule } = rulings();
  assert.equal(known.judge('a', 0), 'unproven');
  rule('a', 0);
  const asked: number[] = [];
  for (let name = 3; name < 200; name += 1) if (known.judge('a', 0) !== 'ruledOut') asked.push(name);
  assert.deepEqual(asked, [65, 129, 193]);
  assert.equal(known.judge('a', 299_999), 'ruledOut');
  assert.equal(known.judge('a', 300_000), 'sample');
  assert.equal(known.judge('a', 300_001), 'ruledOut');
});

test('of kinds that nobody asks for again the oldest is forgotten; one in use stays for as long as it is', () => {
  const { known, seen, rule } = rulings();
  for (const kind of ['idle', 'used']) rule(kind, 0);
  for (let name = 0; name < 10; name += 1) known.judge('used', 0);
  for (let kind = 0; kind < room; kind += 1) rule(`flood-${kind}`, 0);
  assert.equal(seen.forgotten, 2);
  assert.equal(known.judge('used', 0), 'ruledOut');
  assert.equal(known.judge('idle', 0), 'unproven');
  // No kind is in use for ever.
  for (let kind = 0; kind < 10 * room; kind += 1) rule(`again-${kind}`, 0);
  assert.equal(known.judge('used', 0), 'unproven');
});

test('where all kinds are in use room is made at a bounded cost', () => {
  const { known, seen, rule } = rulings();
  for (let kind = 0; kind < room; kind += 1) {
    rule(`${kind}`, 0);
    for (let name = 0; name < 60; name += 1) known.judge(`${kind}`, 0);
  }
  assert.equal(known.judge('new', 0), 'unproven');
  assert.equal(seen.forgotten, 1);
  // Sixteen were looked at, and the last of them had to go, though it is in use as well.
  assert.notEqual(known.judge('14', 0), 'unproven');
  assert.equal(known.judge('15', 0), 'unproven');
});

test('an exception outlives any flood, of kinds that are not there and of others that are', () => {
  const { known, rule } = rulings();
  rule('corp', 0);
  assert.equal(known.refute('corp', 0), 'news');
  assert.equal(known.refute('corp', 0), 'known');
  for (let kind = 0; kind < 3 * room; kind += 1) {
    rule(`absent-${kind}`, 1);
    known.refute(`there-${kind}`, 1);
  }
  assert.equal(known.judge('corp', 1), 'exception');
});

test('an exception for which there is no room is one for as long as its kind is known', () => {
  const { known, rule } = rulings();
  for (let kind = 0; kind < room; kind += 1) assert.equal(known.refute(`there-${kind}`, 0), 'news');
  rule('late', 1);
  assert.deepEqual([known.refute('late', 1), known.refute('late', 1)], ['unkept', 'known']);
  assert.equal(known.judge('late', 1), 'exception');
  // One that is over makes room.
  assert.equal(known.refute('later', day), 'news');
});

test('an exception is over a day after a name of it was there last, and takes 64 proofs to be ruled out again', () => {
  const { known, rule } = rulings();
  rule('corp', 0);
  known.refute('corp', 0);
  known.refute('corp', 1_000);
  assert.equal(known.judge('corp', day), 'exception');
  for (let name = 0; name < 64; name += 1) rule('corp', day + 1_000);
  assert.equal(known.judge('corp', day + 1_000), 'sample');
  assert.equal(known.judge('corp', day + 1_000), 'ruledOut');
  assert.equal(known.refute('corp', day + 1_000), 'news');
});
