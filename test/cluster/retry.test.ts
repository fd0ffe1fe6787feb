/**
 * A change that failed for a reason that lay elsewhere, on a real API server with a real agent: it halts, and when that reason is gone it is
 * tried anew, by the same revision, and judged by what is measured then.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { profileLabel } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode } from '../../api/v1alpha1/node.ts';
import type { ProfileStatus } from '../../api/v1alpha1/profile.ts';
import { eventually } from '../tools/eventually.ts';
import { everyName } from './cluster-dns.ts';
import { Scene } from './scene.ts';

const late = { name: 'late', address: '10.240.0.56', zone: 'late.example', answer: '203.0.113.56' };
const rollout = { autoRollback: false, canary: { nodes: 1, soakSeconds: 1 }, probes: [`www.${late.zone}`] };
const withLate = {
  upstreams: [{ name: late.name, servers: [late.address] }],
  kubeDNSOverrides: { [late.zone]: { forwardDestination: late.name } },
};

let scene: Scene;

before(async () => {
  scene = await Scene.start();
  await scene.applyProfile({ rollout: { ...rollout, probes: [] } });
  await scene.label('n1', profileLabel, 'default');
  await becomes('Done', 1);
});

after(() => scene?.stop());

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(scene?.lastWords);
});

function becomes(phase: string, attempt: number): Promise<NonNullable<ProfileStatus['rollout']>> {
  return eventually(`${phase} in attempt ${attempt}`, 30_000, async () => {
    scene.operator.assertRunning();
    const { status } = (await scene.cluster.get<{ status?: ProfileStatus }>('ldp/default')) ?? {};
    // What has come to its end stays there; what is on its way to it shall not be taken for another end.
    if (status?.rollout?.attempt === attempt && phase !== 'Halted') assert.notEqual(status.rollout.phase, 'Halted');
    return status?.rollout?.phase === phase && status.rollout.attempt === attempt ? status.rollout : undefined;
  });
}

const localDnsNode = async () =>
  (await scene.cluster.get<LocalDnsNode>('ldn/n1')) ?? assert.fail('there is no LocalDnsNode');

async function tryAnew(attempt: number): Promise<void> {
  await scene.applyProfile({ ...withLate, rollout: { ...rollout, paused: true } });
  await becomes('Paused', attempt);
  await scene.applyProfile({ ...withLate, rollout });
}

test('it halts, and says of which attempt the node was measured', async () => {
  await scene.applyProfile({ ...withLate, rollout });
  const { reason } = await becomes('Halted', 2);
  assert.equal(reason, 'ProbeFailed');
  const { spec, status } = await localDnsNode();
  assert.deepEqual([spec.trial?.attempt, status?.health?.attempt], [2, 2]);
});

test('tried anew while nothing is better, it fails by what is measured now', async () => {
  const before = await localDnsNode();
  await tryAnew(3);
  await becomes('Halted', 3);
  const { spec, status } = await localDnsNode();
  assert.equal(spec.revision, before.spec.revision);
  assert.equal(status?.health?.attempt, 3);
  assert.ok(status.health.measuredAt > (before.status?.health?.measuredAt ?? ''));
});

test('once the reason is gone, it is tried anew and comes to its end, whatever was found before', async () => {
  const before = await localDnsNode();
  await scene.cluster.startClusterDns({
    ...{ name: late.name, address: late.address, published: false },
    extraZones: { '.': everyName(late.answer) },
  });
  await tryAnew(4);
  const { good, target } = await becomes('Done', 4);
  assert.equal(good, target);
  const { spec, status } = await localDnsNode();
  assert.equal(spec.revision, before.spec.revision);
  assert.equal(status?.health?.attempt, 4);
  // Nobody is given it again for that it failed once.
  await scene.cluster.kubectlOk('wait', '--for=condition=Degraded=false', 'ldp/default', '--timeout=5s');
});
