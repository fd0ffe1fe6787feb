import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LocalDnsNode } from '../../api/v1alpha1/node.ts';
import { nodeFacts, type WrittenFacts, writtenFacts } from './facts.ts';
import { staysForMs, type WayOut, WITHDRAW_MS, wayOut } from './withdrawal.ts';

const at = '2026-01-01T00:00:00Z';
const atMs = Date.parse(at);
const node = nodeFacts({ metadata: { name: 'n', uid: 'u' } });
const marked = nodeFacts({ metadata: { name: 'n', uid: 'u', labels: { 'localdns.dev/state': 'enabled' } } });
const condition = (type: string, status: 'True' | 'False' | 'Unknown') => {
  return { type, status, reason: 'R', message: 'why', lastTransitionTime: at };
};
type Status = LocalDnsNode['status'];
const serving: Status = { observedGeneration: 1, conditions: [condition('Serving', 'True')] };
const left: Status = {
  observedGeneration: 2,
  conditions: [condition('Serving', 'False'), condition('Intercepting', 'False')],
};

function written(status: Status, withdrawnAt?: string, ownerUid = 'u'): WrittenFacts {
  const generation = withdrawnAt === undefined ? 1 : 2;
  const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name: 'n', uid: ownerUid }];
  const spec = { profile: 'p', revision: 'r', config: {}, ...(withdrawnAt !== undefined && { withdrawnAt }) };
  return writtenFacts({
    metadata: { name: 'n', uid: 'w', generation, ownerReferences },
    spec,
    ...(status && { status }),
  });
}

const cases: { title: string; node?: typeof node; written?: WrittenFacts; nowMs?: number; is: WayOut }[] = [
  { title: 'has nothing of ours', node, is: { kind: 'out' } },
  { title: 'is gone, and left nothing', is: { kind: 'out' } },
  { title: 'has our label alone', node: marked, is: { kind: 'clear' } },
  { title: 'is served', node: marked, written: written(serving), is: { kind: 'withdraw' } },
  {
    title: 'has a configuration of which no agent has ever said anything',
    node,
    written: written(undefined),
    is: { kind: 'clear' },
  },
  { title: 'was told to leave', node, written: written(serving, at), is: { kind: 'wait', forMs: WITHDRAW_MS } },
  {
    title: 'was told some time ago',
    node,
    written: written(serving, at),
    nowMs: atMs + 45_000,
    is: { kind: 'wait', forMs: 15_000 },
  },
  {
    title: 'was told by a clock that is ahead',
    node,
    written: written(serving, at),
    nowMs: atMs - 1e9,
    is: { kind: 'wait', forMs: WITHDRAW_MS },
  },
  {
    title: 'has said nothing for a minute',
    node,
    written: written(serving, at),
    nowMs: atMs + 60_000,
    is: { kind: 'clear' },
  },
  { title: 'has left', node, written: written(left, at), is: { kind: 'clear' } },
  {
    title: 'had left before, and may have come back since',
    node,
    written: written({ ...left, observedGeneration: 1 }, at),
    is: { kind: 'wait', forMs: WITHDRAW_MS },
  },
  {
    title: 'serves no more and is still led to',
    node,
    written: written(
      { ...left, conditions: [condition('Serving', 'False'), condition('Intercepting', 'Unknown')] },
      at,
    ),
    is: { kind: 'wait', forMs: WITHDRAW_MS },
  },
  { title: 'is gone while it was served', written: written(serving), is: { kind: 'clear' } },
  { title: 'came anew under its name', node, written: written(serving, undefined, 'other'), is: { kind: 'clear' } },
];

for (const { title, node: of, written: by, nowMs = atMs, is } of cases) {
  test(`a node that ${title}: ${is.kind}`, () => assert.deepEqual(wayOut(of, by, nowMs), is));
}

test('whoever is not to serve and does not has not failed', () => {
  assert.equal(written(left, at).report.failure, undefined);
  assert.equal(written({ ...left, observedGeneration: 1 }).report.failure, 'why');
});

for (const [title, holders, afterMs, is] of [
  ['goes when no node has its configuration', [], 0, 0],
  ['stays while a node that is there has it', [true], 0, undefined],
  ['stays for ever while a node that is there has it', [false, true], 1e9, undefined],
  ['waits a minute for nodes that are away', [false], 20_000, 40_000],
  ['goes without nodes that are away after that', [false, false], 60_000, 0],
] as const) {
  test(`a profile that is being deleted ${title}`, () => {
    const reachable = holders.map((isReachable) => ({ isReachable }));
    assert.equal(staysForMs(reachable, atMs, atMs + afterMs), is);
  });
}
