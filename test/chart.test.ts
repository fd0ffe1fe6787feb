/** The chart as Helm renders it. Facts that carry weight, one by one: a snapshot would be approved without being read. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { parseAgentOptions } from '../agent/options.ts';
import { crdFiles } from '../api/crds.ts';
import { group, operatorManager, stateEnabled, stateLabel } from '../api/v1alpha1/labels.ts';
import { defaultLeaseTiming } from '../operator/lease.ts';
import { parseOperatorOptions } from '../operator/options.ts';
import {
  type Container,
  chart,
  helm,
  type Manifest,
  only,
  type PodSpec,
  podOf,
  render,
  standard,
  withHelm,
} from './tools/chart.ts';

const root = resolve(import.meta.dirname, '..');

/** What a ServiceAccount may do, as sorted lines `where: group/resource verb`. */
function permissions(account: string, manifests = standard): string[] {
  const bindings = manifests.filter(
    (manifest) =>
      manifest.kind.endsWith('RoleBinding') &&
      manifest.subjects?.some((subject) => subject.name === account && subject.namespace === 'localdns-system'),
  );
  return bindings
    .flatMap((binding) => {
      const where = binding.metadata.namespace;
      const role = manifests.find(
        ({ kind, metadata }) =>
          kind === binding.roleRef?.kind && metadata.name === binding.roleRef.name && metadata.namespace === where,
      );
      return (role?.rules ?? []).flatMap(({ apiGroups, resources, verbs, resourceNames }) => {
        const names = resourceNames === undefined ? '' : `(${resourceNames.join()})`;
        return apiGroups.flatMap((apiGroup) =>
          resources.flatMap((resource) =>
            verbs.map(
              (verb) => `${where ?? 'cluster'}: ${apiGroup === '' ? 'core' : apiGroup}/${resource}${names} ${verb}`,
            ),
          ),
        );
      });
    })
    .sort();
}

test('helm lint --strict has nothing to say', withHelm, () => {
  const { status, stdout, stderr } = helm('lint', '--strict', chart);
  assert.equal(status, 0, stdout + stderr);
});

test('the chart carries the version of package.json, and the API server that its features need', withHelm, () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const meta = parse(readFileSync(join(chart, 'Chart.yaml'), 'utf8')) as Record<string, string>;
  assert.equal(meta.appVersion, version);
  // An API server takes in new rules the CEL libraries of the version before its own, and `ip` and `cidr` came with 1.30.
  assert.match(readFileSync(join(chart, 'files/crds/localdnsprofiles.localdns.dev.yaml'), 'utf8'), /isIP\(/);
  const old = helm('template', 'localdns', chart, '--kube-version', 'v1.30.14');
  assert.match(old.stderr, /incompatible with Kubernetes v1\.30\.14/);
  // Without it, older Helm takes a vendor's suffix (v1.31.4-eks-a1b2c3) for a pre-release, and refuses.
  assert.match(meta.kubeVersion ?? '', /-0$/);
});

test('the CRDs in the chart are those that the schemas say', () => {
  const copies = readdirSync(join(chart, 'files/crds')).map((name) => [
    name,
    readFileSync(join(chart, 'files/crds', name), 'utf8'),
  ]);
  const wanted = crdFiles().sort(([a], [b]) => a.localeCompare(b));
  assert.deepEqual(copies.sort(), wanted, "run 'npm run crds'");
});

test('the rendered CRDs outlive an uninstall, and can be left to somebody else', withHelm, () => {
  const crds = standard.filter(({ kind }) => kind === 'CustomResourceDefinition');
  const wanted = new Map(crdFiles().map(([name, text]) => [name.replace(/\.yaml$/, ''), parse(text) as Manifest]));
  assert.deepEqual(crds.map(({ metadata }) => metadata.name).sort(), [...wanted.keys()].sort());
  for (const { metadata, spec } of crds) {
    assert.deepEqual(metadata.annotations, { 'helm.sh/resource-policy': 'keep' });
    assert.deepEqual(spec, wanted.get(metadata.name)?.spec, metadata.name);
  }
  const without = render('--set', 'crds.enabled=false').map(({ kind }) => kind);
  assert.ok(!without.includes('CustomResourceDefinition'));
});

test('the operator may do what it does and nothing more', withHelm, () => {
  assert.deepEqual(permissions('localdns-operator'), [
    'cluster: core/nodes list',
    'cluster: core/nodes patch',
    'cluster: core/nodes watch',
    'cluster: core/services list',
    'cluster: core/services watch',
    ...['list', 'watch'].map((verb) => `cluster: discovery.k8s.io/endpointslices ${verb}`),
    `cluster: ${group}/localdnsnodes create`,
    `cluster: ${group}/localdnsnodes delete`,
    `cluster: ${group}/localdnsnodes list`,
    `cluster: ${group}/localdnsnodes patch`,
    `cluster: ${group}/localdnsnodes watch`,
    `cluster: ${group}/localdnsprofiles list`,
    `cluster: ${group}/localdnsprofiles patch`,
    `cluster: ${group}/localdnsprofiles watch`,
    `cluster: ${group}/localdnsprofiles/status patch`,
    ...['list', 'watch'].map((verb) => `cluster: networking.k8s.io/servicecidrs ${verb}`),
    ...['create', 'get', 'patch'].map((verb) => `default: events.k8s.io/events ${verb}`),
    ...['create', 'delete', 'list', 'patch', 'watch'].map(
      (verb) => `localdns-system: apps/controllerrevisions ${verb}`,
    ),
    `localdns-system: apps/deployments/scale(localdns-operator) patch`,
    `localdns-system: coordination.k8s.io/leases create`,
    `localdns-system: coordination.k8s.io/leases(${operatorManager}) delete`,
    `localdns-system: coordination.k8s.io/leases(${operatorManager}) get`,
    `localdns-system: coordination.k8s.io/leases(${operatorManager}) patch`,
  ]);
});

test('an agent may read its configuration and the endpoints of cluster DNS, and write its status', withHelm, () => {
  assert.deepEqual(permissions('localdns-agent'), [
    `cluster: ${group}/localdnsnodes list`,
    `cluster: ${group}/localdnsnodes watch`,
    `cluster: ${group}/localdnsnodes/status patch`,
    'kube-system: discovery.k8s.io/endpointslices list',
    'kube-system: discovery.k8s.io/endpointslices watch',
  ]);
});

test('the page of the operator has every right, and no other', withHelm, () => {
  const page = readFileSync(join(root, 'docs/operator.md'), 'utf8');
  const rows = page.split('\n').filter((line) => /^\| (operator|agent) \|/.test(line));
  const told = rows.flatMap((row) => {
    const [, who = '', where = '', what = '', verbs = ''] = row
      .split('|')
      .map((cell) => cell.trim().replaceAll('`', ''));
    return verbs.split(', ').map((verb) => `${who} ${where}: ${what} ${verb}`);
  });
  const checking = render('--set', 'operator.checkNetworkPolicies=true');
  const given = ['operator', 'agent'].flatMap((who) =>
    permissions(`localdns-${who}`, checking).map((right) => `${who} ${right}`),
  );
  assert.deepEqual(told.sort(), given.sort());
});

test('network policies are read where somebody asks for it', withHelm, () => {
  const rights = permissions('localdns-operator', render('--set', 'operator.checkNetworkPolicies=true'));
  const more = rights.filter((right) => !permissions('localdns-operator').includes(right));
  assert.deepEqual(
    more,
    ['core/namespaces(kube-system)', 'networking.k8s.io/networkpolicies'].flatMap((what) =>
      ['list', 'watch'].map((verb) => `cluster: ${what} ${verb}`),
    ),
  );
  const argsOf = (manifests: Manifest[]) => podOf(only('Deployment', manifests)).container.args;
  const checking = argsOf(render('--set', 'operator.checkNetworkPolicies=true'));
  assert.deepEqual(checking, [...(argsOf(standard) ?? []), '--check-network-policies']);
});

test('the page of the operator says what the code means', () => {
  const page = readFileSync(join(root, 'docs/operator.md'), 'utf8').replaceAll(/\s+/g, ' ');
  const { durationMs, renewDeadlineMs, retryMs } = defaultLeaseTiming;
  for (const words of [
    `renews it every ${retryMs / 1000} s (\`--lease-retry\`)`,
    `not seen it renewed for ${durationMs / 1000} s (\`--lease-duration\`)`,
    `${renewDeadlineMs / 1000} s after its last renewal was sent (\`--lease-renew-deadline\`)`,
    `after the ${(durationMs - renewDeadlineMs) / 1000} s that lie between the two`,
    `the Lease \`${operatorManager}\``,
    `nobody acts for ${(durationMs - retryMs) / 1000} s to ${(durationMs + retryMs) / 1000} s`,
    `counts ${durationMs / 1000} s from its own start`,
  ]) {
    assert.ok(page.includes(words), words);
  }
});

for (const [component, kind] of [
  ['agent', 'DaemonSet'],
  ['operator', 'Deployment'],
] as const) {
  test(`the admission policy for the ${component} fails closed, denies, and judges nobody else`, withHelm, () => {
    const manifests = render('--set', 'fullnameOverride=dns');
    const named = manifests.filter(({ metadata }) => metadata.name === `dns-${component}`);
    const { spec } = only('ValidatingAdmissionPolicy', named);
    assert.equal(spec.failurePolicy, 'Fail');
    const conditions = spec.matchConditions as { expression: string }[];
    assert.deepEqual(
      conditions.map(({ expression }) => expression),
      [`request.userInfo.username == 'system:serviceaccount:localdns-system:dns-${component}'`],
    );
    assert.equal(podOf(only(kind, named)).pod.serviceAccountName, `dns-${component}`);
    assert.deepEqual(only('ValidatingAdmissionPolicyBinding', named).spec, {
      policyName: `dns-${component}`,
      validationActions: ['Deny'],
    });
  });
}

test('no role has a wildcard, and no program but ours is bound to one', withHelm, () => {
  const accounts = standard.filter(({ kind }) => kind === 'ServiceAccount').map(({ metadata }) => metadata.name);
  for (const { rules = [], subjects = [], metadata } of standard) {
    for (const rule of rules) assert.ok(!JSON.stringify(rule).includes('"*"'), metadata.name);
    for (const { kind, name } of subjects) assert.ok(kind === 'ServiceAccount' && accounts.includes(name), name);
  }
});

test('the agent runs where the operator says, on the network of the node, ahead of everything', withHelm, () => {
  const { pod } = podOf(only('DaemonSet'));
  assert.deepEqual(pod.nodeSelector, { [stateLabel]: stateEnabled, 'kubernetes.io/os': 'linux' });
  assert.deepEqual(pod.tolerations, [{ operator: 'Exists' }]);
  assert.equal(pod.priorityClassName, 'system-node-critical');
  assert.equal(pod.hostNetwork, true);
  assert.equal(pod.dnsPolicy, 'Default');
});

test('the agent reads its arguments and its environment as they are meant', withHelm, () => {
  const { container } = podOf(only('DaemonSet'));
  const fields = container.env?.map(({ name, valueFrom }) => [name, valueFrom?.fieldRef?.fieldPath]);
  assert.deepEqual(fields, [
    ['NODE_OPTIONS', undefined],
    ['NODE_NAME', 'spec.nodeName'],
    ['HOST_IP', 'status.hostIP'],
    ['AGENT_OPTIONS', undefined],
  ]);
  const [command, ...args] = container.args;
  assert.equal(command, 'agent');
  const options = parseAgentOptions(args, { NODE_NAME: 'node-1', HOST_IP: '192.0.2.7' });
  assert.equal(options.nodeName, 'node-1');
  assert.deepEqual(options.metrics, { address: '192.0.2.7', port: 9353 });
  assert.equal(options.profile, undefined);
});

test('options of the datapath reach the agent, each of those that the schema of the values lets pass', withHelm, () => {
  const args = [
    ...['--nft-table=node-dns', '--mark-intercept=0x100', '--mark-own=0x200', '--mark-gate=0x400'],
    ...['--route-table=154', '--rule-priority=4', '--log-level=warn', '--no-datapath'],
  ];
  const { container } = podOf(only('DaemonSet', render('--set', `agent.extraArgs={${args.join(',')}}`)));
  const options = parseAgentOptions(container.args.slice(1), { NODE_NAME: 'node-1' });
  assert.deepEqual(options.names, {
    ...{ table: 'node-dns', routeTable: 154, rulePriority: 4 },
    marks: { intercept: 0x100, own: 0x200, gate: 0x400 },
  });
  assert.deepEqual([options.logLevel, options.datapath], ['warn', false]);
});

test(
  'an agent is given enough of a node that others have taken whole: a start takes half a second of a core',
  withHelm,
  () => {
    const { cpu = '' } = podOf(only('DaemonSet')).container.resources.requests ?? {};
    assert.ok(Number(/^(\d+)m$/.exec(cpu)?.[1]) >= 100, cpu);
  },
);

test('an agent is given longer to end than it takes: what it holds is answered', withHelm, () => {
  const { pod } = podOf(only('DaemonSet'));
  assert.ok((pod.terminationGracePeriodSeconds as number) > 5);
});

test('the notes after an installation say how to uninstall without leaving rules on nodes', () => {
  const notes = readFileSync(join(chart, 'templates/NOTES.txt'), 'utf8');
  const [, told = '', otherwise = ''] =
    /\{\{- if \.Values\.uninstall\.withdraw \}\}(.*?)\{\{- else \}\}(.*?)\{\{- end \}\}/s.exec(notes) ?? [];
  assert.match(told, /`helm uninstall` first takes every node out of service/);
  assert.match(otherwise, /Before `helm uninstall`, delete the profiles.*\n +kubectl delete ldp --all --timeout=5m\n/s);
  assert.match(otherwise, /nor the finalizer off the profiles/);
});

test('two agents can share a node during an update: it surges, and nothing declares a port', withHelm, () => {
  const daemonSet = only('DaemonSet');
  const { pod, container } = podOf(daemonSet);
  assert.deepEqual(daemonSet.spec.updateStrategy, {
    type: 'RollingUpdate',
    rollingUpdate: { maxSurge: 1, maxUnavailable: 0 },
  });
  assert.equal(container.ports, undefined);
  assert.equal(container.livenessProbe, undefined);
  const readyFile = argument(container, '--ready-file');
  assert.deepEqual(container.readinessProbe?.exec?.command, ['test', '-e', readyFile]);
  const volume = volumeAt(pod, container, readyFile);
  assert.ok(volume?.emptyDir, 'the file is seen by this pod alone');
});

test(
  'the agent has the two capabilities that it needs, as root, and nothing it could write but its own',
  withHelm,
  () => {
    const { pod, container } = podOf(only('DaemonSet'));
    assert.deepEqual(container.securityContext, {
      runAsUser: 0,
      runAsGroup: 0,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_BIND_SERVICE'] },
    });
    assert.deepEqual(pod.securityContext, { seccompProfile: { type: 'RuntimeDefault' } });
    const writable = container.volumeMounts?.filter(({ readOnly }) => readOnly !== true).map(({ name }) => name);
    assert.deepEqual(writable, ['state', 'run']);
  },
);

test('state and the resolv.conf of the node come from folders of the node', withHelm, () => {
  const { pod, container } = podOf(only('DaemonSet'));
  const state = volumeAt(pod, container, argument(container, '--state-dir'));
  assert.deepEqual(state?.hostPath, { path: '/var/lib/localdns', type: 'DirectoryOrCreate' });
  const resolvConf = volumeAt(pod, container, argument(container, '--resolv-conf'));
  assert.deepEqual(resolvConf?.hostPath, { path: '/etc', type: 'Directory' });
  // Beside it, so that the link ../run/systemd/resolve/stub-resolv.conf leads to the node's file.
  const resolved = volumeAt(pod, container, '/host/run/systemd/resolve/resolv.conf');
  assert.equal(resolved?.hostPath?.path, '/run/systemd/resolve');
});

test('of two operators one stands by, on another node and in another zone where there is one', withHelm, () => {
  const deployment = only('Deployment');
  const { pod, container } = podOf(deployment);
  const { matchLabels } = deployment.spec.selector as { matchLabels: Record<string, string> };
  assert.equal(deployment.spec.replicas, 2);
  assert.deepEqual(deployment.spec.strategy, {
    type: 'RollingUpdate',
    rollingUpdate: { maxSurge: 1, maxUnavailable: 0 },
  });
  const spread = pod.topologySpreadConstraints as Record<string, unknown>[];
  assert.deepEqual(
    spread.map(({ topologyKey, whenUnsatisfiable, labelSelector }) => [topologyKey, whenUnsatisfiable, labelSelector]),
    ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'].map((key) => [key, 'ScheduleAnyway', { matchLabels }]),
  );
  const { spec } = only('PodDisruptionBudget');
  assert.deepEqual(spec, { maxUnavailable: 1, selector: { matchLabels } });
  const fields = container.env?.map(({ name, valueFrom }) => [name, valueFrom?.fieldRef?.fieldPath]);
  assert.deepEqual(fields, [
    ['NODE_OPTIONS', undefined],
    ['POD_NAMESPACE', 'metadata.namespace'],
    ['POD_NAME', 'metadata.name'],
  ]);
});

test('the operator is a process without any privilege, probed on the port of its metrics', withHelm, () => {
  const { pod, container } = podOf(only('Deployment'));
  const options = operatorOptions(container);
  assert.equal(options.clusterDnsService, undefined);
  assert.deepEqual(container.ports, [{ name: 'metrics', containerPort: options.metrics.port }]);
  assert.deepEqual(container.readinessProbe?.httpGet, { path: '/readyz', port: 'metrics' });
  assert.deepEqual(container.livenessProbe?.httpGet, { path: '/healthz', port: 'metrics' });
  assert.equal((pod.securityContext as { runAsNonRoot: boolean }).runAsNonRoot, true);
  assert.deepEqual((pod.securityContext as { seccompProfile: object }).seccompProfile, { type: 'RuntimeDefault' });
  assert.deepEqual(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  });
});

test('how fast the operator writes is a value, and by default what the program does by itself', withHelm, () => {
  const parsed = parseOperatorOptions([]);
  const { container } = podOf(only('Deployment'));
  assert.equal(operatorOptions(container).writesPerSecond, parsed.kind === 'options' && parsed.options.writesPerSecond);
  const slow = podOf(only('Deployment', render('--set', 'operator.kubeApiQps=7')));
  assert.equal(operatorOptions(slow.container).writesPerSecond, 7);
});

test('every pod selects what it is labelled with, bounds its memory, and is never throttled', withHelm, () => {
  for (const kind of ['Deployment', 'DaemonSet']) {
    const manifest = only(kind);
    const { container } = podOf(manifest);
    const { matchLabels } = manifest.spec.selector as { matchLabels: Record<string, string> };
    const { labels } = (manifest.spec.template as { metadata: { labels: Record<string, string> } }).metadata;
    assert.ok(Object.keys(matchLabels).length >= 3, kind);
    for (const [key, value] of Object.entries(matchLabels)) assert.equal(labels[key], value, `${kind} ${key}`);
    assert.ok(container.resources.limits?.memory, `${kind} memory`);
    assert.equal(container.resources.limits?.cpu, undefined, `${kind} cpu`);
  }
});

test('another cluster DNS moves the role to its namespace and is told to the operator', withHelm, () => {
  const manifests = render('--set', 'clusterDNS.namespace=dns,clusterDNS.service=coredns');
  const roles = manifests.filter(({ kind, metadata }) => kind === 'Role' && metadata.name === 'localdns-agent');
  assert.deepEqual(
    roles.map(({ metadata }) => metadata.namespace),
    ['dns'],
  );
  const { container } = podOf(only('Deployment', manifests));
  assert.deepEqual(operatorOptions(container).clusterDnsService, { namespace: 'dns', name: 'coredns' });
});

test('names, labels and image are for the person who installs to choose', withHelm, () => {
  const digest = `sha256:${'0a'.repeat(32)}`;
  const manifests = render('--set', `fullnameOverride=dns,image.digest=${digest},extraLabels.team=network`);
  for (const { kind, metadata } of manifests) {
    assert.equal(metadata.labels?.team, 'network', `${kind} ${metadata.name}`);
    if (kind !== 'CustomResourceDefinition')
      assert.match(metadata.name, /^dns-(agent|operator|view|test|uninstall)(-events)?$/);
  }
  assert.equal(podOf(only('DaemonSet', manifests)).container.image, `localdns@${digest}`);
});

for (const [value, complaint] of [
  ['imagee.tag=1', /imagee/],
  ['image.repository=Registry/X:tag', /repository/],
  ['image.repository=registry.example//localdns', /repository/],
  ['image.repository=registry.example:5000/a:80/localdns', /repository/],
  ['image.pullPolicy=Sometimes', /pullPolicy/],
  ['image.digest=md5:1', /digest/],
  ['crds.enabled=maybe', /enabled/],
  ['clusterDNS.namespace=', /namespace/],
  ['clusterDNS.service=Kube_DNS', /service/],
  ['clusterDNS.namespace=dns', /service/],
  ['operator.replicas=0', /replicas/],
  ['operator.resources.limits.memory=much', /memory/],
  ['agent.stateDir=var/lib', /stateDir/],
  ['agent.stateDir=/', /stateDir/],
  ['agent.stateDir=/var/lib/..', /stateDir/],
  ['agent.stateDir=/var/./localdns', /stateDir/],
  ['agent.priorityClassName=System_Critical', /priorityClassName/],
  ['operator.priorityClassName=a..b', /priorityClassName/],
  ['operator.resources.requests.cpu=-1', /cpu/],
  ['agent.extraArgs={--state-dir=/tmp}', /extraArgs/],
  ['agent.extraArgs={--rule-priority}', /extraArgs/],
  ['extraLabels.app\\.kubernetes\\.io/name=x', /invalid propertyName 'app.kubernetes.io.name'/],
  ['fullnameOverride=Upper', /fullnameOverride/],
] as const) {
  test(`the schema of the values refuses ${value}`, withHelm, () => {
    const { status, stderr } = helm('template', 'localdns', chart, '--set', value);
    assert.notEqual(status, 0, 'rendered all the same');
    assert.match(stderr, /don't meet the specifications of the schema/);
    assert.match(stderr, complaint);
  });
}

test('every value is described in the schema', () => {
  const text = readFileSync(join(chart, 'values.yaml'), 'utf8');
  const schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as Schema;
  const walk = (values: Record<string, unknown>, { properties = {} }: Schema, path: string) => {
    for (const [name, value] of Object.entries(values)) {
      const member = properties[name];
      assert.ok(member?.description, `${path}${name} is not described in values.schema.json`);
      if (member.properties && name !== 'resources') walk(value as Record<string, unknown>, member, `${path}${name}.`);
    }
  };
  walk(parse(text) as Record<string, unknown>, schema, '');
});

interface Schema {
  description?: string;
  properties?: Record<string, Schema>;
}

/** What the operator makes of its arguments. */
function operatorOptions({ args: [command, ...args] }: Container) {
  assert.equal(command, 'operator');
  const parsed = parseOperatorOptions(args);
  assert.ok(parsed.kind === 'options', `the operator refuses ${args.join(' ')}`);
  return parsed.options;
}

function argument(container: Container, flag: string): string {
  const found = container.args.find((word) => word.startsWith(`${flag}=`));
  assert.ok(found, `${container.name} has no ${flag}`);
  return found.slice(flag.length + 1);
}

/** The volume that a path in the container lies on: that of the longest mount above it. */
function volumeAt(pod: PodSpec, container: Container, path: string) {
  const mounts = (container.volumeMounts ?? []).filter(({ mountPath }) => `${path}/`.startsWith(`${mountPath}/`));
  const [mount] = mounts.sort((a, b) => b.mountPath.length - a.mountPath.length);
  return pod.volumes?.find(({ name }) => name === mount?.name);
}
