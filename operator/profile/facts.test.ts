import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Node, nodeFacts, writtenFacts } from './facts.ts';

const ready = (status: string) => ({
  conditions: [{ type: 'Ready', status, lastTransitionTime: '2026-01-01T00:00:00Z' }],
});
const then = Date.parse('2026-01-01T00:00:00Z');

test('since when a node is ready, or is not', () => {
  const times = (status: Node['status']) => {
    const { isReachable, awaySinceMs, hereSinceMs } = nodeFacts({ metadata: { name: 'n' }, ...(status && { status }) });
    return [isReachable, awaySinceMs, hereSinceMs];
  };
  assert.deepEqual(times(ready('True')), [true, undefined, then]);
  assert.deepEqual(times(ready('Unknown')), [false, then, undefined]);
  assert.deepEqual(times({ conditions: [{ type: 'Ready', status: 'True' }] }), [true, undefined, undefined]);
  assert.deepEqual(times(undefined), [true, undefined, undefined]);
});

test('a node leaves that is cordoned, being deleted, or about to be removed by an autoscaler', () => {
  const isLeaving = (spec: Node['spec'], deletionTimestamp?: string): boolean => {
    const metadata = { name: 'n', ...(deletionTimestamp !== undefined && { deletionTimestamp }) };
    return nodeFacts({ metadata, ...(spec && { spec }) }).isLeaving;
  };
  assert.equal(isLeaving({}), false);
  assert.equal(isLeaving({ unschedulable: true }), true);
  assert.equal(isLeaving(undefined, '2026-01-01T00:00:00Z'), true);
  assert.equal(isLeaving({ taints: [{ key: 'node.kubernetes.io/not-ready' }] }), false);
  for (const key of ['ToBeDeletedByClusterAutoscaler', 'karpenter.sh/disrupted'])
    assert.equal(isLeaving({ taints: [{ key: 'gpu' }, { key }] }), true);
});

test('when it came into the cluster; since when its agent serves, or does not', () => {
  const metadata = { name: 'n', creationTimestamp: '2026-01-01T00:00:00Z' };
  assert.equal(nodeFacts({ metadata }).createdAtMs, then);
  const serving = { type: 'Serving', status: 'False' as const, reason: 'x', message: '' };
  const conditions = [{ ...serving, lastTransitionTime: '2026-01-01T00:00:00Z' }];
  const spec = { profile: 'p', revision: 'r', config: {} };
  assert.equal(writtenFacts({ metadata, spec, status: { conditions } }).report.changedMs, then);
  assert.equal(writtenFacts({ metadata, spec }).report.changedMs, undefined);
});

test('when anything of what was written for it was changed last, by whomever', () => {
  const spec = { profile: 'p', revision: 'r', config: {} };
  const touched = (...times: string[]) =>
    writtenFacts({ metadata: { name: 'n', managedFields: times.map((time) => ({ time })) }, spec }).touchedAtMs;
  assert.equal(touched('2025-12-31T00:00:00Z', '2026-01-01T00:00:00Z', '2025-12-30T00:00:00Z'), then);
  assert.equal(touched(), undefined);
});
