/** What the chart does where somebody asks for it. */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { chart, helm, type Manifest, only, podOf, render, standard, withHelm } from './tools/chart.ts';

const kinds = (manifests: Manifest[]) => new Set(manifests.map(({ kind }) => kind));
const byName = (manifests: Manifest[], kind: string, name: string) =>
  manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);

test('nothing is made that nobody asked for', withHelm, () => {
  for (const kind of ['PodMonitor', 'NetworkPolicy', 'LocalDnsProfile']) ok(!kinds(standard).has(kind), kind);
  equal(byName(standard, 'ClusterRole', 'localdns-edit'), undefined);
});

test('every API server that the chart takes is given the same', withHelm, () => {
  for (const version of ['1.31.0', '1.32.4', '1.33.1', '1.34.1-gke.100', '1.35.0']) {
    deepEqual(render(`--kube-version=${version}`), standard, version);
  }
  equal(helm('template', 'localdns', chart, '--kube-version=1.30.9').status, 1);
});

test(
  'who may view the cluster views profiles, and who may edit it edits them only where somebody says so',
  withHelm,
  () => {
    const view = byName(standard, 'ClusterRole', 'localdns-view');
    equal(view?.metadata.labels?.['rbac.authorization.k8s.io/aggregate-to-view'], 'true');
    deepEqual(view?.rules, [
      {
        apiGroups: ['localdns.dev'],
        resources: ['localdnsprofiles', 'localdnsnodes'],
        verbs: ['get', 'list', 'watch'],
      },
    ]);
    const edit = byName(render('--set=rbac.aggregateToEdit=true'), 'ClusterRole', 'localdns-edit');
    equal(edit?.metadata.labels?.['rbac.authorization.k8s.io/aggregate-to-edit'], 'true');
    equal(edit?.metadata.labels?.['rbac.authorization.k8s.io/aggregate-to-admin'], 'true');
    deepEqual(edit?.rules?.[0]?.resources, ['localdnsprofiles']);
    equal(byName(render('--set=rbac.aggregateToView=false'), 'ClusterRole', 'localdns-view'), undefined);
  },
);

test('a PodMonitor finds the pods of each component at the port where they tell metrics', withHelm, () => {
  const monitors = render('--set=podMonitor.enabled=true', '--set=podMonitor.labels.release=prom').filter(
    ({ kind }) => kind === 'PodMonitor',
  );
  deepEqual(
    monitors.map(({ metadata, spec }) => {
      const { selector, podMetricsEndpoints } = spec as {
        selector: { matchLabels: Record<string, string> };
        podMetricsEndpoints: { relabelings: { regex?: string; replacement?: string; targetLabel: string }[] }[];
      };
      const addresses = podMetricsEndpoints[0]?.relabelings.filter(({ targetLabel }) => targetLabel === '__address__');
      const made = ['10.0.0.7', 'fd00::7'].map((ip) => {
        const rule = addresses?.find(({ regex = '' }) => new RegExp(`^(?:${regex})$`).test(ip));
        return ip.replace(new RegExp(`^(?:${rule?.regex})$`), rule?.replacement ?? '');
      });
      return [metadata.name, metadata.labels?.release, selector.matchLabels['app.kubernetes.io/component'], ...made];
    }),
    [
      ['localdns-agent', 'prom', 'agent', '10.0.0.7:9353', '[fd00::7]:9353'],
      ['localdns-operator', 'prom', 'operator', '10.0.0.7:9354', '[fd00::7]:9354'],
    ],
  );
});

test('a NetworkPolicy lets nobody reach the operator but on its metrics port', withHelm, () => {
  const { spec } = only('NetworkPolicy', render('--set=networkPolicy.enabled=true'));
  deepEqual(spec.policyTypes, ['Ingress']);
  deepEqual(spec.ingress, [{ ports: [{ protocol: 'TCP', port: 'metrics' }] }]);
  const [port] = podOf(only('Deployment')).container.ports ?? [];
  equal(port?.name, 'metrics');
});

test("a profile is made once, by the installation, and is nobody else's afterwards", withHelm, () => {
  const { metadata, spec } = only(
    'LocalDnsProfile',
    render('--set=defaultProfile.enabled=true', '--set=defaultProfile.spec.mode=Preferred'),
  );
  equal(metadata.name, 'default');
  deepEqual(spec, { mode: 'Preferred' });
  deepEqual(metadata.annotations, { 'helm.sh/hook': 'post-install', 'helm.sh/hook-delete-policy': 'hook-failed' });
});

test('all that has a namespace goes where namespaceOverride says, but what belongs elsewhere', withHelm, () => {
  const before = new Map(
    standard.map(({ kind, metadata }) => [`${kind} ${metadata.name} ${metadata.namespace}`, metadata.namespace]),
  );
  const after = new Set(
    render('--set=namespaceOverride=elsewhere').map(
      ({ kind, metadata }) => `${kind} ${metadata.name} ${metadata.namespace}`,
    ),
  );
  for (const [key, namespace] of before) {
    const moved = namespace === 'localdns-system' ? key.replace(/localdns-system$/, 'elsewhere') : key;
    ok(after.has(moved), moved);
  }
  for (const { subjects = [] } of render('--set=namespaceOverride=elsewhere')) {
    for (const { namespace } of subjects) equal(namespace, 'elsewhere');
  }
});

test("environment and volumes of one's own come beside the chart's", withHelm, () => {
  for (const [part, kind] of [
    ['operator', 'Deployment'],
    ['agent', 'DaemonSet'],
  ] as const) {
    const values = {
      extraEnv: [{ name: 'HTTPS_PROXY', value: 'http://proxy:3128' }],
      extraVolumes: [{ name: 'more', emptyDir: {} }],
      extraVolumeMounts: [{ name: 'more', mountPath: '/more' }],
    };
    const flags = Object.entries(values).map(([name, value]) => `--set-json=${part}.${name}=${JSON.stringify(value)}`);
    const { pod, container } = podOf(only(kind, render(...flags)));
    const plain = podOf(only(kind));
    deepEqual(container.env, [...(plain.container.env ?? []), ...values.extraEnv]);
    deepEqual(pod.volumes, [...(plain.pod.volumes ?? []), ...values.extraVolumes]);
    deepEqual(container.volumeMounts, [...(plain.container.volumeMounts ?? []), ...values.extraVolumeMounts]);
  }
});

test('helm test asks from a pod that has no right and writes nowhere', withHelm, () => {
  const { metadata, spec } = only('Pod');
  equal(metadata.annotations?.['helm.sh/hook'], 'test');
  const pod = spec as unknown as { automountServiceAccountToken: boolean; containers: { args: string[] }[] };
  equal(pod.automountServiceAccountToken, false);
  match(pod.containers[0]?.args[0] ?? '', /kubernetes\.default\.svc/);
});

for (const [value, complaint] of [
  ['podMonitor.interval=often', /interval/],
  ['podMonitor.enabled=yes', /enabled/],
  ['namespaceOverride=Upper', /namespaceOverride/],
  ['defaultProfile.name=-', /name/],
  ['rbac.aggregateToAdmin=true', /aggregateToAdmin/],
  ['agent.extraEnv[0].value=1', /extraEnv/],
  ['networkPolicy.ingress=x', /ingress/],
] as const) {
  test(`the schema of the values refuses ${value}`, withHelm, () => {
    const { status, stderr } = helm('template', 'localdns', chart, '--set', value);
    equal(status, 1);
    match(stderr, complaint);
  });
}
