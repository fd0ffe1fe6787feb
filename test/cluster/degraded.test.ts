/**
 * What stands against a profile, on a real API server: nodes to which no query is led, and a configuration that is too large. Neither costs a
 * node what it has, nor holds up another profile.
 */
import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { apiVersion, profileLabel } from '../../api/v1alpha1/labels.ts';
import { eventually } from '../tools/eventually.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import { Installation } from './installation.ts';
import type { LocalDnsNode, LocalDnsProfile } from './scene.ts';

const root = resolve(import.meta.dirname, '../..');
const limitMs = 15_000;
let cluster: ControlPlane;
let operator: Daemon;

before(async () => {
  cluster = await startControlPlane();
  const localdns = await Installation.create(cluster, { nodes: [] });
  const labelled = (name: string, profile: string) => ({
    ...{ apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { [profileLabel]: profile } } },
  });
  const dns = { namespace: 'kube-system', name: 'kube-dns', labels: { 'k8s-app': 'kube-dns' } };
  const spec = { clusterIP: '10.96.0.10', ports: [{ port: 53, protocol: 'UDP' }] };
  await cluster.applyOk([
    { apiVersion: 'v1', kind: 'Service', metadata: dns, spec },
    labelled('a1', 'a'),
    labelled('b1', 'b'),
  ]);
  cluster.startDaemon({
    name: 'agents',
    command: join(root, 'bin/node'),
    args: [join(import.meta.dirname, 'simulated-agents.ts'), await cluster.kubeconfigFor('admin')],
  });
  operator = localdns.startOperator();
});

after(() => cluster?.stop());

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(operator?.lastWords);
});

function apply(name: string, spec: object): Promise<void> {
  const rollout = { canary: { nodes: 1, soakSeconds: 1 } };
  return cluster.applyOk([{ apiVersion, kind: 'LocalDnsProfile', metadata: { name }, spec: { rollout, ...spec } }]);
}

/** What a condition of the newest spec says, as soon as it begins as is wanted. */
function says(name: string, type: string, wanted: string): Promise<string> {
  return eventually(`${type} of ${name} is ${wanted}`, limitMs, async () => {
    operator.assertRunning();
    const { metadata, status } = (await cluster.get<LocalDnsProfile>(`ldp/${name}`)) ?? {};
    const condition = status?.conditions?.find((one) => one.type === type);
    const words = `${condition?.status} ${condition?.reason}: ${condition?.message}`;
    return status?.observedGeneration === metadata?.generation && words.startsWith(wanted) ? words : undefined;
  });
}

const localDnsNode = (name: string) => cluster.get<LocalDnsNode>(`ldn/${name}`);
const blocked = (...domains: string[]) => ({ blockedDomains: domains.map((domain) => ({ domain })) });

test('a node to which no query is led degrades a Required profile, and a Preferred one says why', async () => {
  await apply('a', { mode: 'Required' });
  await says('a', 'Degraded', 'False Healthy');
  await says('a', 'Programmed', 'True AllNodesProgrammed');
  await apply('a', { mode: 'Required', ...blocked('bypassed.a1.test') });
  const words = await says('a', 'Degraded', 'True NodesNotIntercepting');
  assert.equal(words, 'True NodesNotIntercepting: 1 serve, and queries are not led to them: a1. a1: NftMissing');
  await cluster.kubectlOk('wait', '--for=condition=Degraded', 'ldp/a', '--timeout=1s');
  await apply('a', { mode: 'Preferred', ...blocked('bypassed.a1.test') });
  await says('a', 'Degraded', 'False NodesNotIntercepting: 1 serve');
  await apply('a', { mode: 'Required' });
  await says('a', 'Degraded', 'False Healthy');
});

test('a configuration beyond 64 KiB is refused: the node keeps what it has, others go on, and a smaller one heals it', async () => {
  await apply('a', blocked('a.example'));
  await apply('b', {});
  for (const name of ['a', 'b']) await says(name, 'Programmed', 'True AllNodesProgrammed');
  const before = await localDnsNode('a1');

  // The schema takes it: each list is within its own bound.
  const names = (count: number) => Array.from({ length: count }, (_, at) => `${`${at}`.padStart(60, 'x')}.example`);
  await apply('a', blocked(...names(1_000)));
  const words = await says('a', 'Accepted', 'False TooLarge');
  assert.match(
    words,
    /: spec: the configuration of a node would be \d{5,6} bytes, and 65536 are the most: shorten hosts/,
  );
  assert.match(words, /Nodes keep the last good configuration/);
  await says('a', 'Programmed', 'False');

  await apply('b', blocked('b.example'));
  await says('b', 'Programmed', 'True AllNodesProgrammed');
  assert.match(JSON.stringify((await localDnsNode('b1'))?.spec.config), /b\.example/);
  assert.deepEqual((await localDnsNode('a1'))?.spec, before?.spec);

  await apply('a', blocked(...names(300)));
  await says('a', 'Accepted', 'True Valid');
  await says('a', 'Programmed', 'True AllNodesProgrammed');
  assert.match(JSON.stringify((await localDnsNode('a1'))?.spec.config), /x299\.example/);
});
