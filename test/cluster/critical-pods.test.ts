/** On an API server that limits the system's priority classes to namespaces with a quota for them, as GKE's does. Each test goes on from the one before. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { stateEnabled, stateLabel } from '../../api/v1alpha1/labels.ts';
import { eventually } from '../tools/eventually.ts';
import { type ControlPlane, startControlPlane, withNodes } from './control-plane.ts';

const system = 'localdns-system';
const release = ['localdns', join(import.meta.dirname, '../../charts/localdns'), '-n', system] as const;
let cluster: ControlPlane;

before(async () => {
  cluster = await startControlPlane({ limitedClasses: ['system-node-critical', 'system-cluster-critical'] });
  // Nobody beats for these nodes.
  const idle = ['node-lifecycle-controller', 'taint-eviction-controller', 'pod-garbage-collector-controller'];
  await cluster.startControllers([...withNodes.filter((name) => !idle.includes(name)), 'resourcequota-controller']);
  const labels = { 'kubernetes.io/os': 'linux', [stateLabel]: stateEnabled };
  await cluster.applyOk([{ apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1', labels } }]);
});

after(() => cluster?.stop());

async function pods(component: string): Promise<number> {
  const selector = `app.kubernetes.io/component=${component}`;
  return (await cluster.get<{ items: object[] }>('pods', '-n', system, '-l', selector))?.items.length ?? 0;
}

test('without a quota such a cluster takes no pod of ours', async () => {
  const { code, stderr } = await cluster.helm('install', ...release, '--create-namespace');
  assert.equal(code, 0, stderr);
  for (const owner of ['replicaset', 'daemonset']) {
    await eventually(`the events say why the ${owner} has none`, 15_000, async () => {
      const said = await cluster.kubectlOk('get', 'events', '-n', system, '-o', 'json');
      const { items } = JSON.parse(said) as { items: { message: string; involvedObject: { kind: string } }[] };
      return items.some(
        ({ message, involvedObject: { kind } }) =>
          kind.toLowerCase() === owner && message.includes('insufficient quota to match these scopes'),
      );
    });
  }
  assert.deepEqual([await pods('operator'), await pods('agent')], [0, 0]);
  assert.equal((await cluster.helm('uninstall', 'localdns', '-n', system, '--no-hooks')).code, 0);
});

test('with it, operators and agents come, and what an uninstall runs', async () => {
  const { code, stderr } = await cluster.helm('install', ...release, '--set=resourceQuota.enabled=true');
  assert.equal(code, 0, stderr);
  await eventually('all pods are there', 30_000, async () => {
    return (await pods('operator')) === 2 && (await pods('agent')) === 1;
  });
  const uninstall = cluster.helm('uninstall', 'localdns', '-n', system, '--timeout=10s');
  await eventually('the pod that withdraws is there', 9_000, async () => (await pods('uninstall')) === 1);
  // No kubelet runs it.
  assert.match((await uninstall).stderr, /timed out|deadline exceeded/);
});
