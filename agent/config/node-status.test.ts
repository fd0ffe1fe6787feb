import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeClient } from '../../kube/client.ts';
import { settle } from '../../test/fake/clock.ts';
import type { Log } from '../log.ts';
import { NodeStatus, nodeStatus } from './node-status.ts';

const startMs = Date.UTC(2026, 0, 1);
const listening = [
  { name: 'cluster' as const, address: '169.254.10.11', port: 53 },
  { name: 'node' as const, address: '169.254.10.10', port: 53 },
];
const facts = { revision: 'v1-a', generation: 3, appliedRevision: 'v1-a' };
const conditionsOf = (status: ReturnType<typeof nodeStatus>) =>
  (status.conditions ?? []).map(({ type, status, reason, message }) => `${type}=${status} ${reason}: ${message}`);

test('a configuration in force that answers is applied and serving, and the message says where', () => {
  const status = nodeStatus({}, facts, { listening }, startMs);
  deepEqual(conditionsOf(status), [
    'ConfigApplied=True Applied: revision v1-a is in force',
    'Serving=True ListenersAnswering: answering: cluster on 169.254.10.11:53, node on 169.254.10.10:53',
  ]);
  deepEqual([status.observedGeneration, status.appliedRevision, status.lastError], [3, 'v1-a', '']);
});

test('a refused configuration is not applied, while the one before it serves on', () => {
  const refused = { code: 'CONFIG' as const, error: 'no way' };
  const status = nodeStatus({}, { ...facts, revision: 'v1-b' }, { refused, listening }, startMs);
  deepEqual(conditionsOf(status), [
    'ConfigApplied=False Refused: revision v1-b is not in force: no way',
    'Serving=True ListenersAnswering: answering: cluster on 169.254.10.11:53, node on 169.254.10.10:53',
  ]);
  deepEqual([status.appliedRevision, status.lastError], ['v1-a', 'no way']);
});

test('a socket that cannot be opened, and a listener that is silent, are told apart', () => {
  const taken = { code: 'LISTEN' as const, error: 'another process has it' };
  deepEqual(
    conditionsOf(nodeStatus({}, { ...facts, appliedRevision: undefined }, { refused: taken, listening: [] }, startMs)),
    [
      'ConfigApplied=False ListenFailed: revision v1-a is not in force: another process has it',
      'Serving=False ListenFailed: another process has it',
    ],
  );
  deepEqual(conditionsOf(nodeStatus({}, facts, { silent: 'does not answer', listening }, startMs)), [
    'ConfigApplied=True Applied: revision v1-a is in force',
    'Serving=False ListenFailed: does not answer',
  ]);
});

test('transition times move only when a condition does', () => {
  const first = nodeStatus({}, facts, { listening }, startMs);
  const second = nodeStatus(first, facts, { silent: 'does not answer', listening }, startMs + 60_000);
  deepEqual(
    (second.conditions ?? []).map(({ lastTransitionTime }) => Date.parse(lastTransitionTime) - startMs),
    [0, 60_000],
  );
});

test('an endless error is cut to what the API takes', () => {
  const refused = { code: 'CONFIG' as const, error: 'x'.repeat(100_000) };
  equal(nodeStatus({}, facts, { refused, listening }, startMs).lastError?.length, 4096);
});

test('what somebody else writes while an own write is under way is put right once that is answered; what is older is left', async () => {
  const sent: unknown[] = [];
  let answer = (_resourceVersion: string): void => {};
  const apply = (_resource: unknown, { status }: { status?: unknown }) => {
    sent.push(status);
    return new Promise((resolve) => {
      answer = (resourceVersion) => resolve({ metadata: { name: 'n', resourceVersion } });
    });
  };
  const status = new NodeStatus({ apply } as unknown as KubeClient, 'n', '1.2.3', {} as Log);
  status.report({ revision: 'v1-a', generation: 1 }, { listening });
  status.seen({ lastError: 'of before' }, '99');
  answer('100');
  await settle();
  equal(sent.length, 1);
  status.report({ revision: 'v1-b', generation: 2 }, { listening });
  status.seen({ lastError: 'of another' }, '102');
  answer('101');
  await settle();
  equal(sent.length, 3);
  deepEqual(sent[2], sent[1]);
});
