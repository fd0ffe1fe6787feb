import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type DnsPods,
  type NetworkPolicy,
  type PolicyConflict,
  type PolicyFacts,
  PolicyQuestion,
  policyFacts,
} from './network-policies.ts';

type Spec = NonNullable<NetworkPolicy['spec']>;
type Rule = NonNullable<Spec['egress']>[number];

const address = '169.254.10.11';
const clusterDns: DnsPods = {
  namespace: 'kube-system',
  namespaceLabels: { 'kubernetes.io/metadata.name': 'kube-system', team: 'platform' },
  labels: { 'k8s-app': 'kube-dns' },
  addresses: ['10.244.7.9'],
  ports: { UDP: { numbers: [53], names: ['dns'] }, TCP: { numbers: [53], names: ['dns-tcp'] } },
};
/** As OpenShift has them. */
const openShift: DnsPods = {
  ...clusterDns,
  ports: { UDP: { numbers: [5353], names: ['dns'] }, TCP: { numbers: [5353], names: ['dns-tcp'] } },
};
const atRest = (): number => 0;
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

async function policyConflicts(
  policies: readonly PolicyFacts[],
  dnsPods: DnsPods,
  addresses: readonly string[],
): Promise<readonly PolicyConflict[]> {
  const finding = await new PolicyQuestion(dnsPods, addresses).answer(policies, async () => {}, atRest);
  assert.deepEqual(finding.kind === 'known' && finding.unread, { first: [], count: 0 });
  return finding.kind === 'known' ? finding.conflicts.first : [];
}

function found(...egress: Rule[]): Promise<readonly PolicyConflict[]> {
  return policyConflicts([policy('p', egress)], clusterDns, [address]);
}

const conflict = [{ policy: 'shop/p', cidrs: ['169.254.10.11/32'] }];

for (const [title, rule] of [
  ['the pods of cluster DNS', toDns],
  ['all pods of their namespace', { to: [kubeSystem], ports: port53 }],
  ['all pods', { to: [{ namespaceSelector: {} }], ports: port53 }],
  [
    'a namespace by the label that people gave it',
    { ...toDns, to: [{ namespaceSelector: { matchLabels: { team: 'platform' } } }] },
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
  [
    'these pods, and a network that leaves the address out in octets with leading zeros',
    { to: [dnsPods, ipBlock('169.254.0.0/16', '169.254.010.0/24')], ports: port53 },
  ],
  ['a network that they are in', { to: [ipBlock('10.244.0.0/16')], ports: port53 }],
  ['these pods, and what is no network', { to: [dnsPods, ipBlock('169.254.10.11')], ports: port53 }],
] as [string, Rule][]) {
  test(`a policy that lets pods ask ${title} is in the way`, async () => assert.deepEqual(await found(rule), conflict));
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
  [
    'is about pods of a namespace with a label that theirs has not',
    [{ ...toDns, to: [{ namespaceSelector: { matchLabels: { name: 'kube-system' } } }] }],
  ],
  ['is about a network that leaves their own out', [{ to: [ipBlock('10.0.0.0/8', '10.244.0.0/16')], ports: port53 }]],
  ['is about a network that they are in, on other ports', [{ to: [ipBlock('10.0.0.0/8')], ports: [{ port: 443 }] }]],
  ['names the address', [{ to: [dnsPods, ipBlock('169.254.10.11/32')], ports: port53 }]],
  ['names a network that it is in, in octets with leading zeros', [toDns, { to: [ipBlock('169.254.010.0/024')] }]],
  ['names a network that it is in, written as IPv6', [toDns, { to: [ipBlock('::ffff:169.254.10.0/120')] }]],
  ['names a network that it is in, beside what is none', [toDns, { to: [ipBlock('x/8'), ipBlock('169.254.0.0/16')] }]],
  ['names a network that it is in', [toDns, { to: [ipBlock('169.254.0.0/16')], ports: port53 }]],
] as [string, Rule[]][]) {
  test(`a policy that ${title} is not`, async () => assert.deepEqual(await found(...rules), []));
}

test('a protocol that may go to the pods and not to the address is in the way', async () => {
  const overUdp = { to: [ipBlock('169.254.10.11/32')], ports: [{ protocol: 'UDP', port: 53 }] };
  assert.deepEqual(await found(toDns, overUdp), conflict);
  // The protocol of a port is TCP where none is given (networking.k8s.io/v1, NetworkPolicyPort).
  assert.deepEqual(await found(toDns, overUdp, { to: [ipBlock('169.254.10.11/32')], ports: [{ port: 53 }] }), []);
});

test('an address has no ports with names', async () => {
  const named = {
    to: [ipBlock('0.0.0.0/0')],
    ports: [
      { protocol: 'UDP', port: 'dns' },
      { protocol: 'TCP', port: 'dns-tcp' },
    ],
  };
  assert.deepEqual(await found(toDns, named), conflict);
});

test('within the namespace of cluster DNS its pods need no selector of namespaces', async () => {
  const own = policy('p', [{ ...toDns, to: [{ podSelector: dnsPods.podSelector }] }], {}, 'kube-system');
  assert.deepEqual(await policyConflicts([own], clusterDns, [address]), [{ ...conflict[0], policy: 'kube-system/p' }]);
  const network = policy('p', [{ ...toDns, to: [ipBlock('192.0.2.0/24')] }], {}, 'kube-system');
  assert.deepEqual(await policyConflicts([network], clusterDns, [address]), []);
});

test('policies add up: for all pods of a namespace, and for the same pods, and not for others', async () => {
  const web = { podSelector: { matchLabels: { app: 'web' } } };
  const other = { podSelector: { matchLabels: { app: 'other' } } };
  const allowed = [{ to: [ipBlock('169.254.10.11/32')] }];
  const narrower = { podSelector: { matchLabels: { app: 'web', tier: 'front' } } };
  const expressed = { podSelector: { matchExpressions: [{ key: 'app', operator: 'In' as const, values: ['web'] }] } };
  const cases: [string, Partial<Spec>, string, number][] = [
    ['for the same, in other words', expressed, 'shop', 0],
    ['for some of them', narrower, 'shop', 1],
    ['for all', {}, 'shop', 0],
    ['for the same', web, 'shop', 0],
    ['for others', other, 'shop', 1],
    ['elsewhere', {}, 'elsewhere', 1],
  ];
  for (const [title, rest, namespace, conflicts] of cases) {
    const both = [policy('p', [toDns], web), policy('q', allowed, rest, namespace)];
    assert.equal((await policyConflicts(both, clusterDns, [address])).length, conflicts, title);
  }
  const more = [policy('p', [toDns], narrower), policy('q', allowed, web)];
  assert.deepEqual(await policyConflicts(more, clusterDns, [address]), []);
});

test('every address that lacks is named, in both families, and policies come by name', async () => {
  const addresses = ['fdcd:6c64:6e73::11', '169.254.10.11', '10.96.0.10'];
  const some = { to: [ipBlock('fdcd:6c64:6e73::/64')] };
  const policies = [policy('z', [toDns]), policy('a', [toDns], { podSelector: { matchLabels: { app: 'a' } } })];
  assert.deepEqual(await policyConflicts(policies, clusterDns, addresses), [
    { policy: 'shop/a', cidrs: ['10.96.0.10/32', '169.254.10.11/32', 'fdcd:6c64:6e73::11/128'] },
    { policy: 'shop/z', cidrs: ['10.96.0.10/32', '169.254.10.11/32', 'fdcd:6c64:6e73::11/128'] },
  ]);
  assert.deepEqual((await policyConflicts([policy('z', [toDns, some])], clusterDns, addresses))[0]?.cidrs, [
    '10.96.0.10/32',
    '169.254.10.11/32',
  ]);
});

test('a policy that is about what comes in is not in the way, and opens no way out either', async () => {
  const types = (...policyTypes: string[]) => ({ policyTypes });
  const about = (...policyTypes: string[]) =>
    policyConflicts([policy('p', [toDns], types(...policyTypes))], clusterDns, [address]);
  assert.deepEqual(await about('Ingress'), []);
  assert.deepEqual(await about('Ingress', 'Egress'), conflict);
  const open = policy('open', [{}], types('Ingress'));
  assert.deepEqual(await policyConflicts([policy('p', [toDns]), open], clusterDns, [address]), conflict);
});

test('the pods of cluster DNS are known by the labels by which their Service selects them', async () => {
  const labels = { 'app.kubernetes.io/name': 'coredns', 'app.kubernetes.io/instance': 'dns' };
  const byName = { ...kubeSystem, podSelector: { matchLabels: { 'app.kubernetes.io/name': 'coredns' } } };
  const named = policy('p', [{ to: [byName], ports: port53 }]);
  assert.deepEqual(await policyConflicts([named], { ...clusterDns, labels }, [address]), conflict);
  assert.deepEqual(await policyConflicts([named], clusterDns, [address]), []);
});

test('who asks by a network of pods misses no address of the other family', async () => {
  const byNetwork = policy('p', [{ to: [ipBlock('10.244.0.0/16')], ports: port53 }]);
  const addresses = [address, 'fdcd:6c64:6e73::11'];
  assert.deepEqual(await policyConflicts([byNetwork], clusterDns, addresses), conflict);
  const open = { to: [ipBlock('0.0.0.0/0')], ports: port53 };
  assert.deepEqual(await policyConflicts([policy('p', [open])], clusterDns, addresses), []);
});

test('a policy about the pods of cluster DNS alone is not in the way', async () => {
  const rule = { to: [{ podSelector: {} }] };
  const about = (podSelector: object, namespace = 'kube-system') =>
    policyConflicts([policy('p', [rule], { podSelector }, namespace)], clusterDns, [address]);
  assert.deepEqual(await about({ matchLabels: { 'k8s-app': 'kube-dns', tier: 'x' } }), []);
  assert.equal((await about({ matchLabels: { 'k8s-app': 'metrics' } })).length, 1);
  assert.equal((await about({})).length, 1);
  const elsewhere = policy('p', [toDns], { podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } });
  assert.deepEqual(await policyConflicts([elsewhere], clusterDns, [address]), conflict);
});

test('a policy that cannot be understood costs itself alone', async () => {
  const spec = { podSelector: {}, egress: [{ to: [dnsPods], ports: 'all of them' }] } as unknown as Spec;
  const odd = policyFacts({ metadata: { name: 'odd', namespace: 'shop' }, spec });
  const values = Array.from({ length: 1_000 }, (_, at) => `v${at}`);
  const podSelector = { matchExpressions: [{ key: 'app', operator: 'NotIn' as const, values }] };
  const huge = policy('huge', [toDns], { podSelector });
  const question = new PolicyQuestion(clusterDns, [address]);
  assert.deepEqual(await question.answer([odd, huge, policy('p', [toDns])], async () => {}, atRest), {
    ...{ kind: 'known', conflicts: { first: conflict, count: 1 } },
    unread: { first: ['shop/huge', 'shop/odd'], count: 2 },
  });
});

test('a policy is looked at once for as long as it stays as it is', async (t) => {
  const read = t.mock.method(JSON, 'parse');
  const question = new PolicyQuestion(clusterDns, [address]);
  const policies = [policy('p', [toDns]), policy('q', [toDns])];
  for (const _ of [1, 2, 3]) await question.answer(policies, async () => {}, atRest);
  assert.equal(read.mock.callCount(), 2);
  await question.answer([...policies.slice(1), policy('p', [toDns])], async () => {}, atRest);
  assert.equal(read.mock.callCount(), 3);
});

test('of many that are in the way the first by name are named, and all are counted', async () => {
  const many = Array.from({ length: 200 }, (_, at) => policy(`p${at}`, [toDns], {}, at % 2 === 0 ? 'b' : 'a'));
  const finding = await new PolicyQuestion(clusterDns, [address]).answer(many, async () => {}, atRest);
  assert.ok(finding.kind === 'known');
  assert.equal(finding.conflicts.count, 200);
  const names = finding.conflicts.first.map(({ policy }) => policy);
  const all = many.map(({ namespace, name }) => `${namespace}/${name}`).sort();
  assert.deepEqual(names, all.slice(0, 20));
});

/** Each look at the clock is a millisecond later than the one before. */
async function pausesOf(policies: readonly PolicyFacts[]): Promise<number> {
  let pauses = 0;
  let nowMs = 0;
  const pause = async (): Promise<void> => {
    pauses += 1;
  };
  await new PolicyQuestion(clusterDns, [address]).answer(policies, pause, () => nowMs++);
  return pauses;
}

test('whatever is looked at, others have their turn after a few milliseconds', async () => {
  const blocks = Array.from({ length: 3_200 }, (_, at) => ipBlock(`10.${at >> 8}.${at & 255}.0/24`));
  assert.ok((await pausesOf([policy('blocks', [{ to: blocks }])])) >= 20);
  const holes = blocks.map(({ ipBlock: { cidr } }) => cidr);
  assert.ok((await pausesOf([policy('holes', [{ to: [ipBlock('0.0.0.0/0', ...holes)] }])])) >= 20);
  assert.ok((await pausesOf([policy('rules', Array<Rule>(1_000).fill({ ports: port53 }))])) >= 200);
  const many = Array.from({ length: 1_000 }, (_, at) => policy(`p${at}`, []));
  assert.ok((await pausesOf(many)) >= 200);
});

for (const [title, rule, conflicts] of [
  ['by the number of their port', { to: [dnsPods], ports: [{ protocol: 'UDP', port: 5353 }] }, true],
  [
    'by a network and the number of their port',
    { to: [ipBlock('10.244.0.0/16')], ports: [{ protocol: 'UDP', port: 5353 }] },
    true,
  ],
  ['with everybody who has that port', { ports: [{ protocol: 'UDP', port: 5353 }] }, true],
  ['by the name of their port', { to: [dnsPods], ports: [{ protocol: 'UDP', port: 'dns' }] }, true],
  ['at a port where they do not listen', toDns, false],
  ['by a network, at a port where they do not listen', { to: [ipBlock('10.244.0.0/16')], ports: port53 }, false],
] as [string, Rule, boolean][]) {
  test(`where cluster DNS listens on 5353, a policy that names its pods ${title} is ${conflicts ? '' : 'not '}in the way`, async () => {
    assert.deepEqual(await policyConflicts([policy('p', [rule])], openShift, [address]), conflicts ? conflict : []);
  });
}

test('what is asked of an agent goes to port 53, wherever cluster DNS listens', async () => {
  const rule = { to: [dnsPods, ipBlock(`${address}/32`)], ports: [{ protocol: 'UDP', port: 5353 }] };
  const beside = { to: [ipBlock(`${address}/32`)], ports: [{ protocol: 'UDP', port: 53 }] };
  assert.deepEqual(await policyConflicts([policy('p', [rule])], openShift, [address]), conflict);
  assert.deepEqual(await policyConflicts([policy('p', [rule, beside])], openShift, [address]), []);
});

test('a port of everybody that is known by its name alone is no port of an address', async () => {
  assert.deepEqual(await found({ ports: [{ protocol: 'UDP', port: 'dns' }] }), conflict);
});
