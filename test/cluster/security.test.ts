/**
 * What the API server lets an agent do, asked with real tokens of its ServiceAccount: one made for its pod on a node, as kubelets ask
 * for them, and others that somebody could have got hold of.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  agentManager,
  apiVersion,
  drainFinalizer,
  nodeKind,
  profileKind,
  stateEnabled,
  stateLabel,
} from '../../api/v1alpha1/labels.ts';
import { eventually } from '../tools/eventually.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Page } from './insider.ts';
import { Installation } from './installation.ts';
import type { Outcome } from './namespace.ts';

const system = 'localdns-system';
const objects = `/apis/${apiVersion}/${nodeKind.plural}`;
const profile = `/apis/${apiVersion}/${profileKind.plural}/default`;
let cluster: ControlPlane;
/** Kubeconfigs, by who uses them. */
let tokens: Record<'n1' | 'n2' | 'noNode' | 'noPod' | 'operator', string>;

before(async () => {
  cluster = await startControlPlane();
  await Installation.create(cluster, { nodes: [] });
  await cluster.applyOk(
    ['n1', 'n2'].flatMap((name) => [
      { apiVersion: 'v1', kind: 'Node', metadata: { name } },
      {
        apiVersion,
        kind: 'LocalDnsNode',
        metadata: { name },
        spec: { profile: 'default', revision: 'v1-0123456789ab', config: {} },
      },
    ]),
  );
  const agent = { serviceAccount: 'localdns-agent', namespace: system };
  await cluster.applyOk([{ apiVersion, kind: profileKind.kind, metadata: { name: 'default' }, spec: { priority: 1 } }]);
  tokens = {
    n1: await Installation.agentKubeconfig(cluster, 'n1'),
    n2: await Installation.agentKubeconfig(cluster, 'n2'),
    noNode: await Installation.agentKubeconfig(cluster),
    noPod: await cluster.kubeconfigFor(agent),
    operator: await cluster.kubeconfigFor({ ...agent, serviceAccount: 'localdns-operator' }),
  };
  await eventually('the policy is in force', 10_000, async () => {
    const tainted = { spec: { unschedulable: true } };
    const ofNode = await cluster.raw(tokens.operator, 'PATCH', '/api/v1/nodes/n1?dryRun=All', tainted);
    return ofNode.status === 403 && (await patchStatus('noPod', 'n1', { status: { lastError: '' } })).status === 403;
  });
});

after(() => cluster?.stop());

type Who = keyof typeof tokens;

function as(who: Who, ...args: string[]): Promise<Outcome> {
  return cluster.kubectl('--kubeconfig', tokens[who], ...args);
}

function patchStatus(who: Who, node: string, change: object): Promise<Page> {
  return cluster.raw(tokens[who], 'PATCH', `${objects}/${node}/status`, change);
}

async function lastError(node: string): Promise<string | undefined> {
  return (await cluster.get<{ status?: { lastError?: string } }>(`localdnsnode/${node}`))?.status?.lastError;
}

const theirs = { status: { lastError: 'written by another' } };

test('an agent writes the status of its own node, by patch and by server-side apply', async () => {
  for (const node of ['n1', 'n2'] as const) {
    const { status, body } = await patchStatus(node, node, { status: { lastError: node } });
    assert.equal(status, 200, body);
    assert.equal(await lastError(node), node);
  }
  const object = { apiVersion, kind: nodeKind.kind, metadata: { name: 'n1' }, status: { lastError: 'applied' } };
  const path = `${objects}/n1/status?fieldManager=${agentManager}&force=true`;
  const applied = await cluster.raw(tokens.n1, 'PATCH', path, object, 'application/apply-patch+yaml');
  assert.equal(applied.status, 200, applied.body);
  assert.equal(await lastError('n1'), 'applied');
});

for (const [who, node, complaint] of [
  ['n1', 'n2', /the agent of node n1 may not write the status of node n2/],
  ['n2', 'n1', /the agent of node n2 may not write the status of node n1/],
  ['noNode', 'n1', /this token names no node/],
  ['noPod', 'n1', /this token names no node/],
] as const) {
  test(`the status of ${node} is not for the token of ${who}`, async () => {
    const { status, body } = await patchStatus(who, node, theirs);
    assert.equal(status, 403);
    assert.match(body, /ValidatingAdmissionPolicy 'localdns-agent'.* denied request/);
    assert.match(body, complaint);
    assert.notEqual(await lastError(node), theirs.status.lastError);
  });
}

test('neither is it for the token of a pod that is gone', async () => {
  const kubeconfig = await Installation.agentKubeconfig(cluster, 'n3');
  await cluster.kubectlOk('delete', 'pod/agent-on-n3', '-n', system, '--force', '--grace-period=0');
  await eventually('the token is refused', 15_000, async () => {
    const { stderr } = await cluster.kubectl('--kubeconfig', kubeconfig, 'get', 'localdnsnodes');
    return /Unauthorized|logged in/.test(stderr);
  });
});

test('the operator is not judged as an agent', async () => {
  const { status, body } = await cluster.raw(tokens.operator, 'PATCH', `${objects}/n1`, {
    spec: { profile: 'default' },
  });
  assert.equal(status, 200, body);
});

test('the operator writes its label of a Node, and nothing else of it', async () => {
  const labelled = (labels: object) => ({ metadata: { labels } });
  const mayNot = /the operator of LocalDNS writes the label localdns\.dev\/state of a Node and nothing else of it/;
  await cluster.kubectlOk('label', 'node/n1', 'example.test/kept=yes');
  for (const [change, allowed] of [
    [labelled({ [stateLabel]: stateEnabled }), true],
    [labelled({ [stateLabel]: null }), true],
    [labelled({ [stateLabel]: stateEnabled, 'example.test/more': 'x' }), false],
    [labelled({ 'example.test/kept': 'no' }), false],
    [labelled({ 'example.test/kept': null }), false],
    [{ metadata: { annotations: { 'example.test/more': 'x' } } }, false],
    [{ metadata: { finalizers: ['example.test/more'] } }, false],
    [{ metadata: { finalizers: [drainFinalizer] } }, false],
    [{ metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n2', uid: 'x' }] } }, false],
    [{ spec: { unschedulable: true } }, false],
    [{ spec: { taints: [{ key: 'example.test/more', effect: 'NoExecute' }] } }, false],
  ] as const) {
    const { status, body } = await cluster.raw(tokens.operator, 'PATCH', '/api/v1/nodes/n1', change);
    assert.equal(status, allowed ? 200 : 403, `${JSON.stringify(change)}: ${body}`);
    if (!allowed) assert.match(body, mayNot);
  }
  // Others go on as before.
  await cluster.kubectlOk('taint', 'nodes', 'n1', 'example.test/more=x:NoSchedule');
});

test('the operator writes its finalizer of a profile, and nothing else of it', async () => {
  const foreign = 'example.test/kept';
  const held = (...finalizers: string[]) => ({ metadata: { finalizers } });
  await cluster.kubectlOk('patch', 'ldp/default', '--type=merge', '-p', JSON.stringify(held(foreign)));
  await cluster.kubectlOk('label', 'ldp/default', 'example.test/kept=yes');
  for (const [change, allowed] of [
    [held(foreign, drainFinalizer), true],
    [held(foreign), true],
    [held(drainFinalizer, foreign), true],
    [held(drainFinalizer), false],
    [held(foreign, drainFinalizer, 'example.test/more'), false],
    [{ spec: { priority: 2 } }, false],
    [{ spec: { blockedDomains: [{ domain: 'example.com' }] } }, false],
    [{ metadata: { labels: { 'example.test/more': 'x' } } }, false],
    [{ metadata: { labels: { 'example.test/kept': null } } }, false],
    [{ metadata: { labels: { [stateLabel]: stateEnabled } } }, false],
    [{ metadata: { annotations: { 'example.test/more': 'x' } } }, false],
    [{ metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n2', uid: 'x' }] } }, false],
  ] as const) {
    const { status, body } = await cluster.raw(tokens.operator, 'PATCH', profile, change);
    assert.equal(status, allowed ? 200 : 403, `${JSON.stringify(change)}: ${body}`);
    if (!allowed) assert.match(body, /writes the finalizer localdns\.dev\/drain of a LocalDnsProfile and nothing else/);
  }
  const status = { status: { observedGeneration: 7 }, spec: { priority: 2 } };
  assert.equal((await cluster.raw(tokens.operator, 'PATCH', `${profile}/status`, status)).status, 200);
  assert.equal((await cluster.get<{ spec: { priority: number } }>('ldp/default'))?.spec.priority, 1);
  // Others go on as before.
  await cluster.kubectlOk('patch', 'ldp/default', '--type=merge', '-p', '{"spec":{"priority":3}}');
});

test('a role that gives the operator too much lets it neither make nor delete Nodes and profiles', async () => {
  const account = `--serviceaccount=${system}:localdns-operator`;
  await cluster.kubectlOk('create', 'clusterrolebinding', 'too-much', '--clusterrole=cluster-admin', account);
  await eventually('it holds', 10_000, async () => (await as('operator', 'get', 'secrets', '-A')).code === 0);
  const nothingElse = /the operator of LocalDNS writes .* and nothing else of it/;
  for (const [method, path, body] of [
    ['POST', '/api/v1/nodes', { metadata: { name: 'n9' } }],
    ['DELETE', '/api/v1/nodes/n2', undefined],
    [
      'POST',
      profile.replace('/default', ''),
      { apiVersion, kind: profileKind.kind, metadata: { name: 'p' }, spec: {} },
    ],
    ['DELETE', profile, undefined],
  ] as const) {
    const answer = await cluster.raw(tokens.operator, method, path, body, 'application/json');
    assert.equal(answer.status, 403, `${method} ${path}: ${answer.body}`);
    assert.match(answer.body, nothingElse);
  }
  await cluster.kubectlOk('delete', 'clusterrolebinding', 'too-much');
  await eventually('it does not hold any more', 10_000, async () => {
    return (await as('operator', 'get', 'secrets', '-A')).code !== 0;
  });
});

test('an agent may not write what is no status, whatever it asks for', async () => {
  for (const [method, path, change] of [
    ['PATCH', `${objects}/n1`, { spec: { profile: 'other' } }],
    ['PUT', `${objects}/n1`, { spec: { profile: 'other' } }],
    ['PUT', `${objects}/n1/status`, { status: {} }],
    ['POST', objects, { metadata: { name: 'n3' }, spec: { profile: 'other' } }],
    ['DELETE', `${objects}/n1`, undefined],
    ['DELETE', objects, undefined],
  ] as const) {
    const { status, body } = await cluster.raw(tokens.n1, method, path, change, 'application/merge-patch+json');
    assert.equal(status, 403, `${method} ${path}: ${body}`);
  }
});

/** What RBAC refuses, each with the words of kubectl. */
for (const args of [
  ['patch', 'localdnsnode/n1', '--type=merge', '-p', '{"spec":{"profile":"other"}}'],
  ['delete', 'localdnsnode/n1'],
  ['create', '-f', join(import.meta.dirname, '../../examples/node-pool.yaml')],
  ['get', 'localdnsprofiles'],
  ['get', 'secrets', '-n', system],
  ['get', 'secrets', '-n', 'kube-system'],
  ['get', 'secrets', '-A'],
  ['get', 'localdnsnode/n1'],
  ['get', '--raw', `/api/v1/namespaces/${system}/secrets`],
  ['get', '--raw', '/api/v1/secrets?watch=true&timeoutSeconds=1'],
  ['get', 'configmaps', '-n', system],
  ['get', 'pods', '-n', system],
  ['get', 'pods', '-n', 'kube-system'],
  ['get', 'services', '-n', 'kube-system'],
  ['get', 'nodes'],
  ['get', 'leases', '-n', system],
  ['get', 'endpointslices', '-n', 'default'],
  ['get', 'endpointslices', '-A'],
  ['get', '--raw', '/apis/discovery.k8s.io/v1/endpointslices'],
  ['label', 'node/n1', 'localdns.dev/state=enabled'],
  ['create', 'token', 'localdns-agent', '-n', system],
  ['get', '--raw', '/metrics'],
]) {
  test(`an agent may not: ${args.map((word) => word.replace(/^.*\/(?=examples)/, '')).join(' ')}`, async () => {
    const { code, stderr } = await as('n1', ...args);
    assert.notEqual(code, 0);
    assert.match(stderr, /[Ff]orbidden/);
  });
}

for (const args of [
  ['get', 'endpointslices', '-n', 'kube-system'],
  ['get', '--raw', '/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices?watch=true&timeoutSeconds=1'],
  ['get', 'localdnsnodes', '--field-selector=metadata.name=n1'],
  // RBAC knows no field selector: so nothing secret stands in a LocalDnsNode.
  ['get', '--raw', `/apis/${apiVersion}/localdnsnodes`],
]) {
  test(`an agent may: ${args.join(' ')}`, async () => {
    const { code, stderr } = await as('n1', ...args);
    assert.equal(code, 0, stderr);
  });
}

test('a role that gives agents too much gives them no write but that of their own status', async () => {
  const account = `--serviceaccount=${system}:localdns-agent`;
  await cluster.kubectlOk('create', 'clusterrolebinding', 'too-much', '--clusterrole=cluster-admin', account);
  await eventually('it holds', 10_000, async () => (await as('n1', 'get', 'secrets', '-A')).code === 0);
  const statusAlone = /an agent writes the status of a LocalDnsNode and nothing else of it/;
  const made = { apiVersion, kind: 'LocalDnsNode', metadata: { name: 'n3' }, spec: {} };
  const manifest = join(cluster.makeFolder('manifests'), 'node.json');
  const spec = { profile: 'p', revision: 'v1-0123456789ab', config: {} };
  await cluster.run('sh', ['-c', `cat > ${manifest}`], { input: JSON.stringify({ ...made, spec }) });
  for (const [args, complaint] of [
    [['patch', 'localdnsnode/n1', '--type=merge', '-p', '{"spec":{"profile":"other"}}'], statusAlone],
    [['label', 'localdnsnode/n1', 'a=b'], statusAlone],
    [['delete', 'localdnsnode/n1'], statusAlone],
    [['delete', 'localdnsnodes', '--all'], statusAlone],
    [['create', '-f', manifest], statusAlone],
    [
      ['patch', 'localdnsnode/n2', '--subresource=status', '--type=merge', '-p', JSON.stringify(theirs)],
      /may not write the status of/,
    ],
  ] as const) {
    const { code, stderr } = await as('n1', ...args);
    assert.notEqual(code, 0, args.join(' '));
    assert.match(stderr, complaint, args.join(' '));
  }
  assert.equal((await patchStatus('n1', 'n1', { status: { lastError: 'mine' } })).status, 200);
  await cluster.kubectlOk('delete', 'clusterrolebinding', 'too-much');
});
