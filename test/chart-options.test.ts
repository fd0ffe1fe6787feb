/** What the chart does where somebody asks for it. */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { parseAgentOptions } from '../agent/options.ts';
import { parseOperatorOptions } from '../operator/options.ts';
import { chart, evaluated, helm, type Manifest, only, podOf, render, standard, withHelm } from './tools/chart.ts';

const kinds = (manifests: Manifest[]) => new Set(manifests.map(({ kind }) => kind));
const byName = (manifests: Manifest[], kind: string, name: string) =>
  manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);

/** The Job that Helm runs at this. */
const jobAt = (event: string, manifests = standard): Manifest => {
  const at = ({ kind, metadata }: Manifest) => kind === 'Job' && metadata.annotations?.['helm.sh/hook'] === event;
  const [job, ...more] = manifests.filter(at);
  ok(job !== undefined && more.length === 0, `one Job at ${event}`);
  return job;
};

test('nothing is made that nobody asked for', withHelm, () => {
  for (const kind of ['ResourceQuota', 'PodMonitor', 'NetworkPolicy', 'LocalDnsProfile'])
    ok(!kinds(standard).has(kind), kind);
  equal(byName(standard, 'ClusterRole', 'localdns-edit'), undefined);
});

test('every API server that the chart takes is given the same', withHelm, () => {
  for (const version of ['1.31.0', '1.32.4', '1.33.1', '1.34.1-gke.100', '1.35.0']) {
    deepEqual(render(`--kube-version=${version}`), standard, version);
  }
  equal(helm('template', 'localdns', chart, '--kube-version=1.30.9').status, 1);
});

test(
  'the quota is for every pod of ours that has a priority class, and none is made of what has none',
  withHelm,
  () => {
    const quotaOf = (...flags: string[]) => {
      const manifests = render('--set=resourceQuota.enabled=true', ...flags);
      const quota = manifests.findIndex(({ kind }) => kind === 'ResourceQuota');
      const pods = manifests.filter(({ kind }) => ['Deployment', 'DaemonSet', 'Job'].includes(kind));
      const classes = new Set(pods.map((one) => podOf(one).pod.priorityClassName).filter((one) => one !== undefined));
      ok(pods.length === 4 && quota < manifests.findIndex((one) => pods.includes(one)));
      const values = manifests[quota]?.spec as
        | { scopeSelector: { matchExpressions: { values: string[] }[] } }
        | undefined;
      equal(quota === -1, classes.size === 0);
      deepEqual(new Set(values?.scopeSelector.matchExpressions[0]?.values), classes);
      return [...classes];
    };
    deepEqual(quotaOf().sort(), ['system-cluster-critical', 'system-node-critical']);
    deepEqual(quotaOf('--set=agent.priorityClassName=mine,operator.priorityClassName=mine'), ['mine']);
    deepEqual(quotaOf('--set=agent.priorityClassName=,operator.priorityClassName=mine'), ['mine']);
    deepEqual(quotaOf('--set=agent.priorityClassName=null,operator.priorityClassName='), []);
  },
);

test('an API server of GKE is given the quota without being told, and no other one', withHelm, () => {
  // --kube-version takes the suffix off, which Helm leaves as it is where an API server has said it.
  const said = (...versions: string[]) => {
    const asked = versions.map((version) => {
      const capabilities = `(dict "KubeVersion" (dict "Version" "${version}"))`;
      return `{{ include "localdns.makesQuota" (dict "Values" .Values "Capabilities" ${capabilities}) }}`;
    });
    return evaluated(asked.join(' ')).split(' ');
  };
  deepEqual(said('v1.34.1-gke.100', 'v1.34.1', 'v1.33.1-eks-a1b2c3', 'v1.33.1+k3s1'), [
    'true',
    ...Array(3).fill('false'),
  ]);
  const context = '(dict "Values" .Values "Capabilities" (dict "KubeVersion" (dict "Version" "v1.34.1-gke.100")))';
  equal(evaluated(`{{ include "localdns.makesQuota" ${context} }}`, '--set=resourceQuota.enabled=false'), 'false');
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

test("the port of the agents' metrics is a value, by default what the program does by itself", withHelm, () => {
  const env = { NODE_NAME: 'n', HOST_IP: '192.0.2.7' };
  const portIn = (manifests: Manifest[]) => {
    const { container } = podOf(only('DaemonSet', manifests));
    equal(container.ports, undefined);
    return parseAgentOptions(container.args.slice(1), env).metrics.port;
  };
  equal(portIn(standard), parseAgentOptions([], env).metrics.port);
  const moved = render('--set=agent.metricsPort=9363', '--set=podMonitor.enabled=true');
  equal(portIn(moved), 9363);
  const monitor = JSON.stringify(byName(moved, 'PodMonitor', 'localdns-agent'));
  ok(monitor.includes('"$1:9363"') && monitor.includes('"[$1]:9363"'), monitor);
});

test('a preflight in the pod of an agent judges by the options that this agent has', withHelm, () => {
  const args = ['--nft-table=node-dns', '--mark-own=0x200', '--rule-priority=4'];
  const { container } = podOf(only('DaemonSet', render(`--set=agent.extraArgs={${args.join(',')}}`)));
  const env = Object.fromEntries((container.env ?? []).map(({ name, value }) => [name, value ?? '192.0.2.7']));
  const { preflight, ...judged } = parseAgentOptions(['--preflight'], env);
  equal(preflight, 'text');
  deepEqual({ ...judged, preflight: undefined }, parseAgentOptions(container.args.slice(1), env));
  equal(judged.names.table, 'node-dns');
});

test('a label that a PodMonitor shall have takes the place of the one that the chart would put on it', withHelm, () => {
  const own = { 'app.kubernetes.io/part-of': 'monitoring', team: 'dns' };
  const { stdout } = helm(
    ...['template', 'localdns', chart, '--set=podMonitor.enabled=true', '--set=extraLabels.team=network'],
    `--set-json=podMonitor.labels=${JSON.stringify(own)}`,
  );
  const monitors = parseAllDocuments(stdout).filter((document) => document.get('kind') === 'PodMonitor');
  equal(monitors.length, 2);
  for (const document of monitors) {
    deepEqual(document.errors, []);
    const { labels = {} } = (document.toJS() as Manifest).metadata;
    deepEqual({ ...labels, ...own }, labels);
    equal(labels['app.kubernetes.io/instance'], 'localdns');
  }
});

test('what a value may be is taken as people write it', withHelm, () => {
  const flags = ['--set-json=agent.resources={"requests":{"cpu":0.5,"memory":"1Ti"},"limits":{"memory":"1Ti"}}'];
  deepEqual(podOf(only('DaemonSet', render(...flags))).container.resources.requests, { cpu: 0.5, memory: '1Ti' });
  for (const repository of ['localdns', 'Registry.example:5000/a/b__c', 'registry.example/team/local-dns']) {
    const image = `${repository}:0.1.0`;
    equal(podOf(only('DaemonSet', render(`--set=image.repository=${repository}`))).container.image, image);
  }
  for (const interval of ['1m30s', '500ms', '1h']) {
    ok(kinds(render('--set=podMonitor.enabled=true', `--set=podMonitor.interval=${interval}`)).has('PodMonitor'));
  }
  equal(podOf(only('DaemonSet', render('--set=agent.priorityClassName=dns.first'))).pod.priorityClassName, 'dns.first');
  only('DaemonSet', render('--set=agent.stateDir=/data/..localdns/state.d'));
});

test('names that YAML would read as something else than a text stay texts', withHelm, () => {
  const more = [
    '--set=podMonitor.enabled=true,networkPolicy.enabled=true,defaultProfile.enabled=true,resourceQuota.enabled=true',
  ];
  const named = [
    '--set-string=nameOverride=y,defaultProfile.name=1e3,clusterDNS.namespace=0x10,clusterDNS.service=dns',
  ];
  const checking = '--set=operator.checkNetworkPolicies=true';
  const { status, stdout, stderr } = helm('template', '2024', chart, '--namespace=12345', checking, ...more, ...named);
  equal(status, 0, stderr);
  // As the API server reads it, by YAML 1.1.
  const manifests = parseAllDocuments(stdout, { version: '1.1' }).map((document) => document.toJS() as Manifest | null);
  const wrong: string[] = [];
  const walk = (value: unknown, path: string) => {
    if (typeof value === 'object' && value !== null) {
      for (const [key, member] of Object.entries(value)) walk(member, `${path}.${key}`);
    } else if (/\.(name|namespace|resourceNames\.\d+|(matchL|l)abels\..*)$/.test(path) && typeof value !== 'string') {
      wrong.push(`${path}: ${value}`);
    }
  };
  for (const manifest of manifests)
    if (manifest?.kind !== 'CustomResourceDefinition') walk(manifest, manifest?.kind ?? '');
  deepEqual(wrong, []);
});

test('helm test asks from a Linux node on which the operator may run', withHelm, () => {
  const flags = ['--set=operator.tolerations[0].operator=Exists', '--set=operator.nodeSelector.pool=system'];
  const { nodeSelector, tolerations } = only('Pod', render(...flags)).spec;
  deepEqual([nodeSelector, tolerations], [{ 'kubernetes.io/os': 'linux', pool: 'system' }, [{ operator: 'Exists' }]]);
  const anywhere = only('Pod', render('--set-json=operator.nodeSelector={"kubernetes.io/os":null}')).spec;
  deepEqual(anywhere.nodeSelector, { 'kubernetes.io/os': 'linux' });
});

test('a NetworkPolicy lets nobody reach the operator but on its metrics port', withHelm, () => {
  const { spec } = only('NetworkPolicy', render('--set=networkPolicy.enabled=true'));
  deepEqual(spec.policyTypes, ['Ingress']);
  deepEqual(spec.ingress, [{ ports: [{ protocol: 'TCP', port: 'metrics' }] }]);
  const [port] = podOf(only('Deployment')).container.ports ?? [];
  equal(port?.name, 'metrics');
});

test(
  "a profile is made where there is none, by installation or upgrade, and is nobody else's afterwards",
  withHelm,
  () => {
    const { metadata, spec } = only(
      'LocalDnsProfile',
      render('--set=defaultProfile.enabled=true', '--set=defaultProfile.spec.mode=Preferred'),
    );
    equal(metadata.name, 'default');
    deepEqual(spec, { mode: 'Preferred' });
    deepEqual(metadata.annotations, {
      'helm.sh/hook': 'post-install,post-upgrade',
      'helm.sh/hook-delete-policy': 'hook-failed',
    });
  },
);

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
      extraEnv: [{ name: 'KUBERNETES_SERVICE_HOST', value: '192.0.2.10' }],
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

test(
  'an uninstall first withdraws everything, as the operator that runs on those nodes, by its rights',
  withHelm,
  () => {
    const flags = ['--set=operator.tolerations[0].operator=Exists', '--set=operator.nodeSelector.pool=system'];
    const manifests = render(...flags, '--set=image.pullSecrets[0].name=mine', '--set=operator.kubeApiQps=7');
    const { metadata, spec } = jobAt('pre-delete', manifests);
    deepEqual(metadata.annotations, {
      'helm.sh/hook': 'pre-delete',
      'helm.sh/hook-delete-policy': 'before-hook-creation,hook-succeeded',
    });
    const { pod, container } = podOf({ kind: 'Job', metadata, spec });
    const operator = podOf(only('Deployment', manifests));
    const own = ['containers', 'restartPolicy', 'topologySpreadConstraints'];
    const same = ({ pod: all }: typeof operator) => Object.entries(all).filter(([field]) => !own.includes(field));
    deepEqual(same({ pod, container }), same(operator));
    ok(pod.tolerations && pod.nodeSelector && pod.imagePullSecrets);
    for (const field of ['image', 'imagePullPolicy', 'env', 'securityContext', 'resources'] as const) {
      deepEqual(container[field as 'image'], operator.container[field as 'image'], field);
    }
    const [command, ...args] = container.args;
    const parsed = parseOperatorOptions(args);
    ok(command === 'operator' && parsed.kind === 'options');
    const { withdraw, deployment, writesPerSecond } = parsed.options;
    deepEqual([withdraw, deployment, writesPerSecond], [true, only('Deployment', manifests).metadata.name, 7]);
  },
);

test(
  'what withdraws is none of the operator pods that others select, and ends for good where it gives up',
  withHelm,
  () => {
    const manifests = render('--set=networkPolicy.enabled=true');
    const { spec } = jobAt('pre-delete', manifests);
    const { labels = {} } = (spec.template as Manifest).metadata;
    for (const kind of ['Deployment', 'DaemonSet', 'PodDisruptionBudget', 'NetworkPolicy']) {
      const { selector, podSelector } = only(kind, manifests).spec as Record<
        string,
        { matchLabels: object } | undefined
      >;
      const wanted = Object.entries((selector ?? podSelector)?.matchLabels ?? {});
      ok(wanted.length > 0 && wanted.some(([key, value]) => labels[key] !== value), kind);
    }
    const { rules } = spec.podFailurePolicy as { rules: { action: string; onExitCodes?: object }[] };
    deepEqual(
      rules.map(({ action, onExitCodes }) => [action, onExitCodes]),
      [
        ['Ignore', undefined],
        ['FailJob', { operator: 'In', values: [1] }],
      ],
    );
  },
);

test('a Job that cannot start is not there when nobody wants the uninstall any more', withHelm, () => {
  const deadline = (...flags: string[]) => jobAt('pre-delete', render(...flags)).spec.activeDeadlineSeconds;
  equal(deadline(), 900);
  equal(deadline('--set=operator.kubeApiQps=10'), 3_600);
  const { metadata, spec } = jobAt('pre-rollback');
  const { name, namespace } = jobAt('pre-delete').metadata;
  deepEqual([metadata.name, metadata.namespace], [name, namespace]);
  equal(metadata.annotations?.['helm.sh/hook-delete-policy'], 'before-hook-creation,hook-succeeded');
  deepEqual([spec.parallelism, spec.completions], [0, 0]);
});

test('nothing is withdrawn, and no right given for it, where somebody says so', withHelm, () => {
  const manifests = render('--set=uninstall.withdraw=false');
  ok(!kinds(manifests).has('Job'));
  const rules = JSON.stringify(byName(manifests, 'Role', 'localdns-operator')?.rules);
  ok(
    !rules.includes('deployments/scale') && !rules.includes('"resourceNames":["localdns-operator"],"verbs":["delete"]'),
  );
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
  ['podMonitor.interval=', /interval/],
  ['podMonitor.interval=30s1m', /interval/],
  ['resourceQuota.enabled=gke', /enabled/],
  ['podMonitor.enabled=yes', /enabled/],
  ['namespaceOverride=Upper', /namespaceOverride/],
  ['defaultProfile.name=-', /name/],
  ['defaultProfile.name=none', /name/],
  ['agent.metricsPort=null', /metricsPort/],
  ['agent.stateDir=null', /stateDir/],
  ['operator.kubeApiQps=null', /kubeApiQps/],
  ['operator.replicas=null', /replicas/],
  ['agent.resources.limits.memory=1Qi', /memory/],
  ['rbac.aggregateToAdmin=true', /aggregateToAdmin/],
  ['agent.extraEnv[0].value=1', /extraEnv/],
  ['networkPolicy.ingress=x', /ingress/],
  ['uninstall.withdraw=1', /withdraw/],
] as const) {
  test(`the schema of the values refuses ${value}`, withHelm, () => {
    const { status, stderr } = helm('template', 'localdns', chart, '--set', value);
    equal(status, 1);
    match(stderr, complaint);
  });
}
