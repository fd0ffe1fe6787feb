import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NetworkPolicy, type PolicyConflict, policyConflicts, policyFacts } from './network-policies.ts';

type Spec = NonNullable<NetworkPolicy['spec']>;
type Rule = NonNullable<Spec['egress']>[number];

const address = '169.254.10.11';
const clusterDns = { namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } };
const ipBlock = (cidr: string, ...except: string[]) => ({ ipBlock: { cidr, except } });
const port53 = [
  { protocol: 'UDP', port: 53 },
  { protocol: 'TCP', port: 53 },
];
const kubeSystem = { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } } };
const dnsPods = { ...kubeSystem, podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } };
const toDns: Rule = { to: [dnsPods], ports: port53 };

function policy(name: string, egress: readonly Rule[], rest: Partial<Spec> = {}, namespace = 'shop') {
  return policyFacts({ metadata: { name, namespace }, spec: { podSelector: {}, egress, ...rest } });
}

function found(...egress: Rule[]): PolicyConflict[] {
  return policyConflicts([policy('p', egress)], clusterDns, [address]);
}

const conflict = [{ policy: 'shop/p', cidrs: ['169.254.10.11/32'] }];

for (const [title, rule] of [
  ['the pods of cluster DNS', toDns],
  ['all pods of their namespace', { to: [kubeSystem], ports: port53 }],
  ['all pods', { to: [{ namespaceSelector: {} }], ports: port53 }],
  [
    'a namespace by the label that people gave it',
    { ...toDns, to: [{ namespaceSelector: { matchLabels: { name: 'kube-system' } } }] },
  ],
  [
    'pods by an expression',
    {
      ...toDns,
      to: [
        {
          ...kubeSystem,
          podSelector: { matchExpressions: [{ key: 'k8s-app', operator: 'In', values: ['kube-dns'] }] },
        },
      ],
    },
  ],
  ['these pods, over UDP alone', { to: [dnsPods], ports: [{ protocol: 'UDP', port: 53 }] }],
  ['these pods, by the names of their ports', { to: [dnsPods], ports: [{ protocol: 'UDP', port: 'dns' }] }],
  ['these pods, in a range of ports', { to: [dnsPods], ports: [{ protocol: 'UDP', port: 1, endPort: 1024 }] }],
  ['these pods, on all ports', { to: [dnsPods] }],
  ['these pods, and an address that is another', { to: [dnsPods, ipBlock('169.254.10.10/32')], ports: port53 }],
  [
    'these pods, and a network that leaves the address out',
    { to: [dnsPods, ipBlock('169.254.0.0/16', '169.254.10.0/24')], ports: port53 },
  ],
] as [string, Rule][]) {
  test(`a policy that lets pods ask ${title} is in the way`, () => assert.deepEqual(found(rule), conflict));
}

for (const [title, rules] of [
  ['has no rule', []],
  ['is about another port', [{ to: [dnsPods], ports: [{ protocol: 'UDP', port: 443 }] }]],
  ['is about SCTP', [{ to: [dnsPods], ports: [{ protocol: 'SCTP', port: 53 }] }]],
  ['is about other pods there', [{ ...toDns, to: [{ ...kubeSystem, podSelector: { matchLabels: { app: 'x' } } }] }]],
  ['is about such pods of its own namespace', [{ ...toDns, to: [{ podSelector: dnsPods.podSelector }] }]],
  ['is about pods of another namespace', [{ ...toDns, to: [{ namespaceSelector: { matchLabels: { name: 'x' } } }] }]],
  ['lets everything out', [toDns, {}]],
  ['lets port 53 out to everybody', [toDns, { ports: port53 }]],
  ['lets port 53 out to everybody, with an empty list of peers', [toDns, { to: [], ports: port53 }]],
  ['names the address', [{ to: [dnsPods, ipBlock('169.254.10.11/32')], ports: port53 }]],
  ['names a network that it is in', [toDns, { to: [ipBlock('169.254.0.0/16')], ports: port53 }]],
] as [string, Rule[]][]) {
  test(`a policy that ${title} is not`, () => assert.deepEqual(found(...rules), []));
}

test('a protocol that may go to the pods and not to the address is in the way', () => {
  const overUdp = { to: [ipBlock('169.254.10.11/32')], ports: [{ protocol: 'UDP', port: 53 }] };
  assert.deepEqual(found(toDns, overUdp), conflict);
  // The protocol of a port is TCP where none is given (networking.k8s.io/v1, NetworkPolicyPort).
  assert.deepEqual(found(toDns, overUdp, { to: [ipBlock('169.254.10.11/32')], ports: [{ port: 53 }] }), []);
});

test('an address has no ports with names', () => {
  const named = {
    to: [ipBlock('0.0.0.0/0')],
    ports: [
      { protocol: 'UDP', port: 'dns' },
      { protocol: 'TCP', port: 'dns-tcp' },
    ],
  };
  assert.deepEqual(found(toDns, named), conflict);
});

test('within the namespace of cluster DNS its pods need no selector of namespaces', () => {
  const own = policy('p', [{ ...toDns, to: [{ podSelector: dnsPods.podSelector }] }], {}, 'kube-system');
  assert.deepEqual(policyConflicts([own], clusterDns, [address]), [{ ...conflict[0], policy: 'kube-system/p' }]);
  const network = policy('p', [{ ...toDns, to: [ipBlock('10.0.0.0/8')] }], {}, 'kube-system');
  assert.deepEqual(policyConflicts([network], clusterDns, [address]), []);
});

test('policies add up: for all pods of a namespace, and for the same pods, and not for others', () => {
  const web = { podSelector: { matchLabels: { app: 'web' } } };
  const other = { podSelector: { matchLabels: { app: 'other' } } };
  const allowed = [{ to: [ipBlock('169.254.10.11/32')] }];
  const cases: [string, Partial<Spec>, string, number][] = [
    ['for all', {}, 'shop', 0],
    ['for the same', web, 'shop', 0],
    ['for others', other, 'shop', 1],
    ['elsewhere', {}, 'elsewhere', 1],
  ];
  for (const [title, rest, namespace, conflicts] of cases) {
    const both = [policy('p', [toDns], web), policy('q', allowed, rest, namespace)];
    assert.equal(policyConflicts(both, clusterDns, [address]).length, conflicts, title);
  }
});

test('every address that lacks is named, in both families, and policies come by name', () => {
  const addresses = ['fdcd:6c64:6e73::11', '169.254.10.11', '10.96.0.10'];
  const some = { to: [ipBlock('fdcd:6c64:6e73::/64')] };
  const policies = [policy('z', [toDns]), policy('a', [toDns], { podSelector: { matchLabels: { app: 'a' } } })];
  assert.deepEqual(policyConflicts(policies, clusterDns, addresses), [
    { policy: 'shop/a', cidrs: ['10.96.0.10/32', '169.254.10.11/32', 'fdcd:6c64:6e73::11/128'] },
    { policy: 'shop/z', cidrs: ['10.96.0.10/32', '169.254.10.11/32', 'fdcd:6c64:6e73::11/128'] },
  ]);
  assert.deepEqual(policyConflicts([policy('z', [toDns, some])], clusterDns, addresses)[0]?.cidrs, [
    '10.96.0.10/32',
    '169.254.10.11/32',
  ]);
});

test('a policy that is about what comes in is not in the way, and opens no way out either', () => {
  const types = (...policyTypes: string[]) => ({ policyTypes });
  const about = (...policyTypes: string[]) =>
    policyConflicts([policy('p', [toDns], types(...policyTypes))], clusterDns, [address]);
  assert.deepEqual(about('Ingress'), []);
  assert.deepEqual(about('Ingress', 'Egress'), conflict);
  const open = policy('open', [{}], types('Ingress'));
  assert.deepEqual(policyConflicts([policy('p', [toDns]), open], clusterDns, [address]), conflict);
});

test('the pods of cluster DNS are known by the labels by which their Service selects them', () => {
  const labels = { 'app.kubernetes.io/name': 'coredns', 'app.kubernetes.io/instance': 'dns' };
  const byName = { ...kubeSystem, podSelector: { matchLabels: { 'app.kubernetes.io/name': 'coredns' } } };
  const named = policy('p', [{ to: [byName], ports: port53 }]);
  assert.deepEqual(policyConflicts([named], { namespace: 'kube-system', labels }, [address]), conflict);
  assert.deepEqual(policyConflicts([named], clusterDns, [address]), []);
});
