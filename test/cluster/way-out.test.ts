/**
 * Who is served and who is no more, on a real API server, with agents that are simulated: nodes that come, go, change their labels and come
 * anew under their names, and profiles that are disabled or deleted under their nodes. Each test goes on from the one before.
 */
import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import {
  apiVersion,
  drainFinalizer,
  optOut,
  profileLabel,
  stateEnabled,
  stateLabel,
} from '../../api/v1alpha1/labels.ts';
import type { ProfileStatus } from '../../api/v1alpha1/profile.ts';
import { eventually } from '../tools/eventually.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import { Installation } from './installation.ts';
import type { LocalDnsNode, LocalDnsProfile, Node } from './scene.ts';

const root = resolve(import.meta.dirname, '../..');
const system = 'localdns-system';
const withinMs = 20_000;
const username = `system:serviceaccount:${system}:localdns-operator`;
const rollout = { canary: { nodes: 1, soakSeconds: 1 }, probes: [] };

let cluster: ControlPlane;
let operator: Daemon;

before(async () => {
  cluster = await startControlPlane();
  await Installation.create(cluster, { nodes: [] });
  const kubeconfig = await cluster.kubeconfigFor({ serviceAccount: 'localdns-operator', namespace: system });
  operator = cluster.startDaemon({
    name: 'operator',
    command: join(root, 'bin/localdns'),
    args: ['operator', '--kubeconfig', kubeconfig, '--metrics', '127.0.0.1:9354', '--namespace', system],
  });
  cluster.startDaemon({
    name: 'agents',
    command: join(root, 'bin/node'),
    args: [join(import.meta.dirname, 'simulated-agents.ts'), await cluster.kubeconfigFor('admin')],
  });
  await profile('pool', { nodeSelector: { matchLabels: { pool: 'a' } } });
  await profile('named', {});
});

after(() => cluster?.stop());

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(operator?.lastWords);
});

test('nodes that come are served, by their label first, and cordoning changes nothing', async () => {
  await node('n1', { pool: 'a' });
  await node('n2', { pool: 'a', [profileLabel]: 'named' });
  await node('n3', {});
  await isServed('n1', 'pool');
  await isServed('n2', 'named');
  await cluster.kubectlOk('cordon', 'n1');
  await node('n4', { pool: 'a' });
  await isServed('n4', 'pool');
  await isServed('n1', 'pool');
  assert.equal(await localDnsNode('n3'), undefined);
});

test('a node that is relabelled changes hands without a gap', async () => {
  const uid = (await localDnsNode('n2'))?.metadata.uid;
  await cluster.kubectlOk('label', 'node/n2', `${profileLabel}-`);
  await isServed('n2', 'pool');
  assert.equal((await localDnsNode('n2'))?.metadata.uid, uid);
});

test('a node that opts out is told to leave, then loses the label, then what was written', async () => {
  await cluster.kubectlOk('label', 'node/n2', `${profileLabel}=${optOut}`);
  await isOut('n2');
  const writes = cluster
    .audit()
    .filter(({ user, verb, objectRef }) => user.username === username && objectRef?.name === 'n2' && verb !== 'watch')
    .map(({ verb, objectRef }) => `${verb} ${objectRef?.resource}`);
  assert.deepEqual(writes.slice(-3), ['patch localdnsnodes', 'patch nodes', 'delete localdnsnodes']);
});

test('a node that comes anew under its name is served anew, and what was written for the old one is not of the new one', async () => {
  await cluster.kubectlOk('delete', 'node/n4');
  await node('n4', { pool: 'a' });
  const { metadata } = (await cluster.get<Node>('node/n4')) ?? {};
  await eventually('n4 is served anew', withinMs, async () => {
    return (await localDnsNode('n4'))?.metadata.ownerReferences?.[0]?.uid === metadata?.uid;
  });
  await isServed('n4', 'pool');
  await cluster.kubectlOk('delete', 'node/n4');
  await eventually('n4 is gone', withinMs, async () => (await localDnsNode('n4')) === undefined);
});

test('modes are switched under their nodes: Disabled takes them out in order, Required brings them back', async () => {
  await profile('pool', { nodeSelector: { matchLabels: { pool: 'a' } }, mode: 'Disabled' });
  await isOut('n1');
  await eventually('it says so', withinMs, async () => (await reasonOf('pool', 'Programmed')) === 'ModeDisabled');
  await profile('pool', { nodeSelector: { matchLabels: { pool: 'a' } }, mode: 'Required' });
  await isServed('n1', 'pool');
  await cluster.kubectlOk('wait', '--for=condition=Programmed', 'ldp/pool', '--timeout=10s');
});

test('a profile that is deleted stays until its nodes are out, and a dead node holds it up for no longer than a minute', async () => {
  await profile('pool', {
    nodeSelector: { matchLabels: { pool: 'a' } },
    blockedDomains: [{ domain: 'stuck.n5.test' }],
  });
  await node('n5', { pool: 'a' });
  await eventually('both have the newest revision', withinMs, async () => {
    const { status, metadata } = (await cluster.get<LocalDnsProfile>('ldp/pool')) ?? {};
    return status?.observedGeneration === metadata?.generation && status?.nodes?.ready === 2;
  });
  assert.deepEqual((await cluster.get<Marked>('ldp/pool'))?.metadata.finalizers, [drainFinalizer]);
  await cluster.kubectlOk('delete', 'ldp/pool', '--wait=false');
  await isOut('n1');
  await eventually(
    'it says what it waits for',
    withinMs,
    async () => (await reasonOf('pool', 'Progressing')) === 'Deleting',
  );
  assert.equal((await cluster.get<Node>('node/n5'))?.metadata.labels?.[stateLabel], stateEnabled);
  // A minute later.
  await cluster.kubectlOk('patch', 'ldn/n5', '--type=merge', '-p', '{"spec":{"withdrawnAt":"2026-01-01T00:00:00Z"}}');
  await isOut('n5');
  await eventually('it is gone', withinMs, async () => (await cluster.get('ldp/pool')) === undefined);
});

test('a deleted profile goes though a node keeps its configuration for another reason, and says whom it waits for', async () => {
  const selects = { nodeSelector: { matchLabels: { pool: 'b' } } };
  await profile('first', { ...selects, priority: 1 });
  await node('n6', { pool: 'b' });
  await node('n7', { pool: 'b' });
  await isServed('n6', 'first');
  await isServed('n7', 'first');
  await profile('next', { ...selects, rollout: { ...rollout, paused: true } });
  await eventually('it is paused', withinMs, async () => {
    const next = await cluster.get<{ status?: ProfileStatus }>('ldp/next');
    return next?.status?.rollout?.phase === 'Paused';
  });
  await cluster.kubectlOk('label', 'node/n6', `${profileLabel}=typo`);
  await cluster.kubectlOk('delete', 'ldp/first', '--wait=false');
  // Nobody is to serve n6.
  await isOut('n6');
  await eventually('it says whom it waits for, and until when', withinMs, async () => {
    const { status } = (await cluster.get<LocalDnsProfile>('ldp/first')) ?? {};
    const { message = '' } = status?.conditions?.find(({ type }) => type === 'Progressing') ?? {};
    return /^n7 should be served by next, .* from 20\S+Z on nobody waits for it/.test(message);
  });
  assert.equal((await localDnsNode('n7'))?.spec.profile, 'first');
  await profile('next', selects);
  await isServed('n7', 'next');
  await eventually('it is gone', withinMs, async () => (await cluster.get('ldp/first')) === undefined);
  await cluster.kubectlOk('delete', 'ldp/next', '--timeout=20s');
});

test('a profile that serves nobody goes at once', async () => {
  await cluster.kubectlOk('delete', 'ldp/named', '--timeout=10s');
});

interface Marked {
  metadata: { finalizers?: string[] };
}

function profile(name: string, spec: object): Promise<void> {
  return cluster.applyOk([{ apiVersion, kind: 'LocalDnsProfile', metadata: { name }, spec: { rollout, ...spec } }]);
}

function node(name: string, labels: Record<string, string>): Promise<void> {
  return cluster.applyOk([{ apiVersion: 'v1', kind: 'Node', metadata: { name, labels } }]);
}

function localDnsNode(name: string) {
  return cluster.get<LocalDnsNode & { metadata: { uid: string } }>(`ldn/${name}`);
}

async function reasonOf(name: string, type: string): Promise<string | undefined> {
  const { status } = (await cluster.get<LocalDnsProfile>(`ldp/${name}`)) ?? {};
  return status?.conditions?.find((condition) => condition.type === type)?.reason;
}

function isServed(name: string, by: string): Promise<unknown> {
  return eventually(`${name} is served by ${by}`, withinMs, async () => {
    const { spec, status } = (await localDnsNode(name)) ?? {};
    const { metadata } = (await cluster.get<Node>(`node/${name}`)) ?? {};
    const isApplied = status?.appliedRevision === spec?.revision;
    return spec?.profile === by && isApplied && metadata?.labels?.[stateLabel] === stateEnabled;
  });
}

function isOut(name: string): Promise<unknown> {
  return eventually(`${name} is out`, withinMs, async () => {
    const { metadata } = (await cluster.get<Node>(`node/${name}`)) ?? {};
    return (await localDnsNode(name)) === undefined && metadata?.labels?.[stateLabel] === undefined;
  });
}
