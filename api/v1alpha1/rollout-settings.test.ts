import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allowedUnavailable } from './rollout-settings.ts';

for (const [maxUnavailable, nodes, allowed] of [
  ['10%', 100, 10],
  ['10%', 99, 9],
  ['10%', 9, 1],
  ['100%', 7, 7],
  ['1%', 5_000, 50],
  [3, 100, 3],
  ['10%', 0, 1],
] as const) {
  test(`${maxUnavailable} of ${nodes} nodes are ${allowed}, rounded down and never none`, () => {
    assert.equal(allowedUnavailable(maxUnavailable, nodes), allowed);
  });
}
