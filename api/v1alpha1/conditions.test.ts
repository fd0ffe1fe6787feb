import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Condition, nextCondition } from './conditions.ts';

const old: Condition = {
  type: 'Serving',
  status: 'True',
  lastTransitionTime: '2020-01-01T00:00:00Z',
  reason: 'ListenersAnswering',
  message: 'answering',
};
const nowMs = Date.UTC(2021, 0, 1);

test('the transition time stays while the status does, and moves with it', () => {
  assert.deepEqual(nextCondition([old], { ...old, message: 'still answering' }, nowMs), {
    ...old,
    message: 'still answering',
  });
  assert.equal(nextCondition([old], { ...old, status: 'False' }, nowMs).lastTransitionTime, '2021-01-01T00:00:00Z');
  assert.equal(nextCondition([], old, nowMs).lastTransitionTime, '2021-01-01T00:00:00Z');
});
