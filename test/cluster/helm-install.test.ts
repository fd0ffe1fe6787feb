import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parseDocument } from 'yaml';
import { apiVersion, stateEnabled, stateLabel } from '../../api/v1alpha1/labels.ts';
import { eventually } from '../tools/eventually.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

const chart = join(import.meta.dirname, '../../charts/localdns');
const system = 'localdns-system';
const install = ['localdns', chart, '-n', system] as const;
let cluster: ControlPlane;

before(async () => {
  // With controllers, pods come from the templates as in any cluster, and the API server judges each of them.
  cluster = await startControlPlane({ controllers: true });
});

after(() => cluster?.stop());

interface Owned {
  metadata: { name: string; ownerReferences?: { kind: string }[]; labels?: Record<string, string> };
}

interface Pod extends Owned {
  spec: {
    hostNetwork?: boolean;
    dnsPolicy?: string;
    serviceAccountName: string;
    nodeSelector?: Record<string, string>;
    priorityClassName?: string;
    containers: { args?: string[]; securityContext?: { capabilities?: { add?: string[]; drop?: string[] } } }[];
  };
}

test('helm lint finds nothing to complain about', async () => {
  const { code, stdout, stderr } = await cluster.helm('lint', '--strict', chart);
  assert.equal(code, 0, stdout + stderr);
});

test('a value that the chart does not know is refused, and named', async () => {
  const { code, stderr } = await cluster.helm('template', ...install, '--set', 'agent.resurces.limits=1');
  assert.notEqual(code, 0);
  assert.match(stderr, /resurces/);
});

test('helm install is accepted, without a warning', async () => {
  const { code, stdout, stderr } = await cluster.helm('install', ...install, '--create-namespace');
  assert.equal(code, 0, stderr);
  assert.match(stdout, /STATUS: deployed/);
  assert.doesNotMatch(stderr, /warning/i);
  for (const kind of ['localdnsprofiles', 'localdnsnodes']) {
    await cluster.kubectlOk('wait', '--for=condition=Established', `crd/${kind}.localdns.dev`, '--timeout=10s');
  }
});

test('two pods of the operator are made, and need nothing of their nodes', async () => {
  const pod = await podOf('operator');
  await eventually('there is a second one', 10_000, async () => {
    const selector = 'app.kubernetes.io/component=operator';
    return (await cluster.get<{ items: Pod[] }>('pods', '-n', system, '-l', selector))?.items.length === 2;
  });
  assert.equal(pod.spec.serviceAccountName, 'localdns-operator');
  assert.equal(pod.spec.hostNetwork ?? false, false);
  assert.deepEqual(pod.spec.containers[0]?.securityContext?.capabilities?.drop, ['ALL']);
  assert.equal(pod.spec.containers[0]?.args?.[0], 'operator');
});

test('an agent comes to each node that is marked as served, and to no other', async () => {
  for (const name of ['served', 'other', 'windows']) {
    const labels = {
      'kubernetes.io/os': name === 'windows' ? 'windows' : 'linux',
      ...(name === 'other' ? {} : { [stateLabel]: stateEnabled }),
    };
    await cluster.applyOk([{ apiVersion: 'v1', kind: 'Node', metadata: { name, labels } }]);
  }
  const pod = await podOf('agent');
  assert.equal(pod.spec.hostNetwork, true);
  assert.equal(pod.spec.dnsPolicy, 'Default');
  assert.equal(pod.spec.serviceAccountName, 'localdns-agent');
  assert.equal(pod.spec.priorityClassName, 'system-node-critical');
  assert.equal(pod.spec.nodeSelector?.[stateLabel], stateEnabled);
  const wanted = await eventually('the DaemonSet has counted its nodes', 10_000, async () => {
    const set = await cluster.get<{ status: { desiredNumberScheduled: number; currentNumberScheduled: number } }>(
      ...['daemonset/localdns-agent', '-n', system],
    );
    return set?.status.currentNumberScheduled === 1 && set.status.desiredNumberScheduled;
  });
  assert.equal(wanted, 1);
});

test('the API server takes the example that cleans nodes, without a warning', async () => {
  const args = [
    'apply',
    '-n',
    system,
    '--dry-run=server',
    '-f',
    join(import.meta.dirname, '../../examples/cleanup.yaml'),
  ];
  const { code, stdout, stderr } = await cluster.kubectl(...args);
  assert.deepEqual([code, stderr], [0, '']);
  assert.match(stdout, /daemonset\.apps\/localdns-cleanup created/);
});

const operator = 'localdns-operator';
const agent = 'localdns-agent';
const grants: [who: string, may: boolean, verb: string, what: string, namespace?: string][] = [
  [operator, true, 'watch', 'localdnsprofiles.localdns.dev'],
  [operator, true, 'patch', 'localdnsprofiles.localdns.dev'],
  [operator, false, 'delete', 'localdnsprofiles.localdns.dev'],
  [operator, true, 'patch', 'localdnsnodes.localdns.dev'],
  [operator, true, 'delete', 'localdnsnodes.localdns.dev'],
  [operator, true, 'patch', 'nodes'],
  [operator, false, 'delete', 'nodes'],
  [operator, false, 'get', 'secrets', system],
  [operator, false, 'create', 'pods', system],
  [agent, true, 'watch', 'localdnsnodes.localdns.dev'],
  [agent, false, 'patch', 'localdnsnodes.localdns.dev'],
  [agent, true, 'watch', 'endpointslices.discovery.k8s.io', 'kube-system'],
  [agent, false, 'watch', 'endpointslices.discovery.k8s.io', 'default'],
  [agent, false, 'list', 'localdnsprofiles.localdns.dev'],
  [agent, false, 'get', 'nodes'],
  [agent, false, 'patch', 'nodes'],
  [agent, false, 'get', 'secrets', system],
];

for (const [who, may, verb, what, namespace = 'default'] of grants) {
  test(`${who} ${may ? 'may' : 'may not'} ${verb} ${what} (${namespace})`, async () => {
    const as = `--as=system:serviceaccount:${system}:${who}`;
    const { stdout } = await cluster.kubectl('auth', 'can-i', verb, what, '-n', namespace, as);
    assert.equal(stdout.trim(), may ? 'yes' : 'no');
  });
}

test('no role of ours grants by wildcard', async () => {
  const roles = await cluster.get<{ items: { metadata: { name: string }; rules: object[] }[] }>(
    ...['clusterroles,roles', '-A', '-l', 'app.kubernetes.io/part-of=localdns'],
  );
  assert.ok((roles?.items.length ?? 0) >= 4);
  for (const { metadata, rules } of roles?.items ?? []) {
    assert.ok(!JSON.stringify(rules).includes('"*"'), `${metadata.name} grants everything of something`);
  }
});

test('an upgrade to the same chart replaces no pod', async () => {
  const before = await podOf('agent');
  const { code, stderr } = await cluster.helm('upgrade', ...install);
  assert.equal(code, 0, stderr);
  assert.equal((await podOf('agent')).metadata.name, before.metadata.name);
});

test('going back takes along what only the newer CRDs have, from the profiles too; without CRDs of its own it leaves both', async () => {
  const folder = cluster.makeFolder('newer');
  cpSync(chart, folder, { recursive: true });
  const path = join(folder, 'files/crds/localdnsprofiles.localdns.dev.yaml');
  const crd = parseDocument(readFileSync(path, 'utf8'));
  const fields = ['spec', 'versions', 0, 'schema', 'openAPIV3Schema', 'properties', 'spec', 'properties'];
  crd.setIn([...fields, 'newer'], { type: 'string' });
  writeFileSync(path, crd.toString({ lineWidth: 0 }));
  const release = ['localdns', '-n', system];
  const helmOk = async (...args: string[]) => {
    const { code, stderr } = await cluster.helm(...args);
    assert.equal(code, 0, stderr);
  };
  const write = async () => {
    const spec = { newer: 'yes' };
    await eventually('the newer field is taken', 15_000, async () => {
      await cluster.apply([{ apiVersion, kind: 'LocalDnsProfile', metadata: { name: 'forward' }, spec }]);
      return (await read()) === 'yes';
    });
  };
  const read = async () =>
    (await cluster.get<{ spec: { newer?: string } }>('localdnsprofile/forward'))?.spec.newer ?? 'nothing';

  await helmOk('upgrade', 'localdns', folder, '-n', system);
  await write();
  await helmOk('rollback', ...release);
  await eventually('the older CRD holds', 15_000, async () => (await read()) === 'nothing');

  await helmOk('upgrade', 'localdns', folder, '-n', system);
  await write();
  await helmOk('upgrade', ...install, '--reset-then-reuse-values', '--set', 'crds.enabled=false');
  assert.equal(await read(), 'yes');
});

test('an upgrade makes the profile that it is told of where there is none, and leaves what people made of it', async () => {
  const upgrade = async () => {
    const { code, stdout, stderr } = await cluster.helm('upgrade', ...install, '--set', 'defaultProfile.enabled=true');
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /The profile default is there/);
    return (await cluster.get<{ spec: { mode?: string } }>('localdnsprofile/default'))?.spec.mode;
  };
  assert.equal(await upgrade(), 'Preferred');
  await cluster.kubectlOk('patch', 'ldp/default', '--type=merge', '-p', '{"spec":{"mode":"Disabled"}}');
  assert.equal(await upgrade(), 'Disabled');
  await cluster.kubectlOk('delete', 'ldp/default');
  await upgrade();
  await cluster.kubectlOk('get', 'ldp/default');
});

// Here no pod runs, so neither does what withdraws: that is uninstall.test.ts.
test('an uninstall takes everything of ours but the profiles that people wrote', async () => {
  await cluster.applyOk([{ apiVersion, kind: 'LocalDnsProfile', metadata: { name: 'default' }, spec: {} }]);
  const { code, stderr } = await cluster.helm('uninstall', 'localdns', '-n', system, '--no-hooks');
  assert.equal(code, 0, stderr);
  await cluster.kubectlOk('get', 'localdnsprofile/default');
  const left = await cluster.kubectlOk(
    ...['get', 'clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,daemonsets,deployments', '-A'],
    ...['-l', 'app.kubernetes.io/part-of=localdns', '-o', 'name'],
  );
  assert.equal(left.trim(), '');
});

test('installed again over the kept CRDs, it is accepted', async () => {
  const { code, stderr } = await cluster.helm('install', ...install);
  assert.equal(code, 0, stderr);
});

test('installed by another name over the kept CRDs, it is accepted where it may take them over', async () => {
  await cluster.helm('uninstall', 'localdns', '-n', system, '--no-hooks');
  const other = ['install', 'dns', chart, '-n', system];
  const refused = await cluster.helm(...other);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /CustomResourceDefinition .* cannot be imported .* invalid ownership metadata/s);
  const { code, stderr } = await cluster.helm(...other, '--take-ownership');
  assert.equal(code, 0, stderr);
});

test('in another namespace, and over CRDs that somebody has applied, it is the same', async () => {
  const elsewhere = ['install', 'dns', chart, '-n', '12345', '--create-namespace'];
  await cluster.helm('uninstall', 'dns', '-n', system, '--no-hooks');
  const taken = async () => {
    assert.match((await cluster.helm(...elsewhere)).stderr, /invalid ownership metadata/);
    const { code, stderr } = await cluster.helm(...elsewhere, '--take-ownership');
    assert.equal(code, 0, stderr);
    await cluster.helm('uninstall', 'dns', '-n', '12345', '--no-hooks');
  };
  await taken();
  const crds = join(import.meta.dirname, '../../crds');
  await cluster.kubectlOk('delete', '-f', crds);
  await cluster.kubectlOk('apply', '-f', crds);
  await taken();
});

function podOf(component: string): Promise<Pod> {
  return eventually(`a pod of the ${component} exists`, 15_000, async () => {
    const selector = `app.kubernetes.io/component=${component}`;
    const pods = await cluster.get<{ items: Pod[] }>('pods', '-n', system, '-l', selector);
    return pods?.items[0];
  });
}
