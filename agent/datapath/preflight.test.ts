import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { suite, test } from 'node:test';
import { reasons } from '../../api/v1alpha1/conditions.ts';
import { usualNames } from './names.ts';
import type { NftObject } from './nft.ts';
import { type BoundSocket, bindKey, type NodeFacts, type PolicyRule, type Wanted } from './preflight/facts.ts';
import type { Finding } from './preflight/finding.ts';
import { clearance, preflight } from './preflight.ts';

const own = ['169.254.10.11', '169.254.10.10'];
const service = '10.96.0.10';
const wanted: Wanted = {
  listen: [...own, service].map((address) => ({ address, port: 53 })),
  own,
  others: [service],
  tracked: [],
  names: usualNames,
  otherNames: [],
};

/** A node on which everything can be intercepted. */
function goodNode(fields: Partial<NodeFacts> = {}): NodeFacts {
  return {
    platform: 'linux',
    libcTrouble: undefined,
    capabilities: (1n << 12n) | (1n << 10n),
    nftVersion: '1.0.6',
    refused: new Map(),
    hasIpv6: true,
    interfaces: ['lo', 'eth0', 'cni0'],
    addresses: [
      { interface: 'lo', address: '127.0.0.1' },
      { interface: 'eth0', address: '192.0.2.7' },
    ],
    sockets: [],
    bindTrials: trials('free'),
    sysctls: new Map([
      ['ipv4.ip_unprivileged_port_start', 1024],
      ['ipv4.conf.all.rp_filter', 0],
    ]),
    ruleset: [],
    legacyTables: [],
    policyRules: [rule({ priority: 0, table: 255 }), rule({ priority: 32_766 })],
    routes: [],
    wanted,
    ...fields,
  };
}

function trials(udp: 'free' | 'taken' | 'not tried', tcp = udp) {
  return new Map(
    wanted.listen.flatMap((at) => [[bindKey('udp', at), udp] as const, [bindKey('tcp', at), tcp] as const]),
  );
}

function rule(fields: Partial<PolicyRule>): PolicyRule {
  return { family: 4, priority: 100, table: 254, mark: 0, mask: 0, narrow: false, inverted: false, ...fields };
}

function socket(fields: Partial<BoundSocket> = {}): BoundSocket {
  return { protocol: 'udp', address: '0.0.0.0', port: 53, holder: { pid: 7, name: 'dnsmasq' }, ...fields };
}

/** A base chain with its rules, as nft lists them. */
function chain(table: string, fields: Record<string, unknown>, ...rules: unknown[][]): NftObject[] {
  const [family, name] = table.split(' ');
  const at = { family, table: name };
  return [
    { table: { family, name } },
    { chain: { ...at, name: 'INPUT', type: 'filter', hook: 'input', prio: 0, policy: 'accept', ...fields } },
    ...rules.map((expr) => ({ rule: { ...at, chain: fields.name ?? 'INPUT', expr } })),
  ];
}

/** `-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP`, in two hooks. */
const loopbackNet = { prefix: { addr: '127.0.0.0', len: 8 } };
const toKubeFirewall = [{ counter: { packets: 0, bytes: 0 } }, { jump: { target: 'KUBE-FIREWALL' } }];
const kubeFirewall: NftObject[] = [
  ...chain('ip filter', { name: 'KUBE-FIREWALL', type: undefined, hook: undefined, policy: undefined }, [
    { match: { op: '!=', left: { payload: { protocol: 'ip', field: 'saddr' } }, right: loopbackNet } },
    { match: { op: '==', left: { payload: { protocol: 'ip', field: 'daddr' } }, right: loopbackNet } },
    { xt: { type: 'match', name: 'comment' } },
    { xt: { type: 'match', name: 'conntrack' } },
    { counter: { packets: 0, bytes: 0 } },
    { drop: null },
  ]),
  ...chain('ip filter', {}, toKubeFirewall),
  ...chain('ip filter', { name: 'OUTPUT', hook: 'output' }, toKubeFirewall),
];

const is = (left: unknown, right: unknown, op = '==') => ({ match: { op, left, right } });
const header = (protocol: string, field: string) => ({ payload: { protocol, field } });
const meta = (key: string) => ({ meta: { key } });
const dnsPort = is(header('udp', 'dport'), 53);

/** What is not good, in the form CHECK LEVEL REASON [ADDRESS]. */
function trouble(facts: NodeFacts): string[] {
  return preflight(facts)
    .filter(({ level }) => level !== 'ok')
    .map(({ check, level, reason, address }) => [check, level, reason, ...(address ? [address] : [])].join(' '));
}

test('a node on which nothing is in the way has nothing but good findings, each of which is a sentence', () => {
  const findings = preflight(goodNode());
  deepEqual(trouble(goodNode()), []);
  ok(findings.length >= 15);
  for (const { check, message, reason } of findings) {
    match(check, /^[a-z]+6?(-[a-z]+)*$/);
    match(message, /\w+ \w+/);
    equal(reason, reasons.checkPassed);
  }
});

suite('what is in the way is found, with its reason and what to do', () => {
  const cases: [about: string, facts: NodeFacts, wanted: string[], message: RegExp][] = [
    ['another system', goodNode({ platform: 'darwin' }), ['linux blocking NotLinux'], /darwin.*only Linux/],
    [
      'a C library that cannot be called',
      goodNode({ libcTrouble: 'koffi cannot be loaded: x' }),
      ['system-calls blocking SystemCallsUnavailable'],
      /koffi cannot be loaded: x.*published image/,
    ],
    [
      'no NET_ADMIN',
      goodNode({ capabilities: 1n << 10n, refused: undefined, ruleset: undefined }),
      ['capabilities blocking CapabilityMissing'],
      /NET_ADMIN.*capabilities\.add/,
    ],
    [
      'no NET_BIND_SERVICE',
      goodNode({ capabilities: 1n << 12n }),
      ['capabilities blocking CapabilityMissing'],
      /NET_BIND_SERVICE.*port 53/,
    ],
    [
      'no nft',
      goodNode({ nftVersion: undefined, refused: undefined, ruleset: undefined }),
      ['nft blocking NftMissing'],
      /install nftables/,
    ],
    ['an old nft', goodNode({ nftVersion: '0.9.8' }), ['nft blocking NftTooOld'], /0\.9\.8.*1\.0/],
    [
      'a kernel without the socket expression',
      goodNode({ refused: new Map([['transparent sockets', 'Could not process rule']]) }),
      ['kernel blocking KernelFeatureMissing'],
      /transparent sockets.*Could not process rule.*nft_socket/,
    ],
    [
      'a kernel without owned tables, which costs the node itself 1.5 s after a kill',
      goodNode({ refused: new Map([['owned tables', 'Operation not supported']]) }),
      ['kernel warning KernelFeatureMissing'],
      /1\.5 s.*5\.12/,
    ],
    [
      'IPv6 that is off, where IPv4 is served as well',
      goodNode({ hasIpv6: false, wanted: { ...wanted, own: [...own, 'fd00::11'] } }),
      ['ipv6 warning IPv6Missing fd00::11'],
      /disable_ipv6=0/,
    ],
    [
      'IPv6 that is off, where nothing else is wanted',
      goodNode({ hasIpv6: false, wanted: { ...wanted, own: ['fd00::11'], others: [] } }),
      ['ipv6 blocking IPv6Missing fd00::11'],
      /disable_ipv6=0/,
    ],
    [
      'kube-proxy in IPVS mode',
      goodNode({ addresses: [{ interface: 'kube-ipvs0', address: service }] }),
      [`addresses blocking HeldByIPVS ${service}`],
      /IPVS.*clusterDNS.*dnsConfig/,
    ],
    [
      'the Service address on an interface of somebody',
      goodNode({ addresses: [{ interface: 'eth0', address: service }] }),
      [`addresses blocking AddressTaken ${service}`],
      /interface eth0/,
    ],
    [
      'an address of ours on an interface of somebody',
      goodNode({ addresses: [{ interface: 'lo', address: '169.254.10.11' }] }),
      ['addresses warning AddressTaken 169.254.10.11'],
      /ip address del 169\.254\.10\.11 dev lo/,
    ],
    [
      'an address that only AKS LocalDNS uses, under another name of interface',
      goodNode({ addresses: [{ interface: 'dns0', address: '169.254.10.11' }] }),
      ['other-node-local-dns blocking AnotherNodeLocalDNS 169.254.10.11'],
      /AKS LocalDNS holds .* dns0/,
    ],
    [
      'NodeLocal DNSCache, which holds the Service address too',
      goodNode({
        interfaces: ['lo', 'nodelocaldns'],
        addresses: ['169.254.20.10', service].map((address) => ({ interface: 'nodelocaldns', address })),
      }),
      [`other-node-local-dns blocking AnotherNodeLocalDNS ${service}`],
      /NodeLocal DNSCache holds 10\.96\.0\.10 on interface nodelocaldns.*node-local-dns/,
    ],
    [
      'NodeLocal DNSCache beside us',
      goodNode({
        interfaces: ['lo', 'nodelocaldns'],
        addresses: [{ interface: 'nodelocaldns', address: '169.254.20.10' }],
      }),
      ['other-node-local-dns warning AnotherNodeLocalDNS'],
      /NodeLocal DNSCache is on this node/,
    ],
    [
      'AKS LocalDNS',
      goodNode({
        interfaces: ['lo', 'localdns'],
        addresses: own.map((address) => ({ interface: 'localdns', address })),
      }),
      own.map((address) => `other-node-local-dns blocking AnotherNodeLocalDNS ${address}`),
      /AKS LocalDNS holds 169\.254\.10\.11 on interface localdns.*localdns-config/,
    ],
    [
      'a program on every address that lets nobody in',
      goodNode({ sockets: [socket()], bindTrials: trials('taken', 'free') }),
      [...own, service].map((address) => `ports blocking PortTaken ${address}`),
      /dnsmasq \(process 7\) has 0\.0\.0\.0:53 \(UDP\).*bind-interfaces/,
    ],
    [
      'a program on every address that does let others in',
      goodNode({ sockets: [socket({ address: '::' })] }),
      [...own, service].map((address) => `ports warning PortTaken ${address}`),
      /every address.*while an agent lives/,
    ],
    [
      'a program on our very address, over TCP',
      goodNode({
        sockets: [socket({ protocol: 'tcp', address: service, holder: undefined })],
        bindTrials: new Map([...trials('free'), [bindKey('tcp', { address: service, port: 53 }), 'taken']]),
      }),
      [`ports blocking PortTaken ${service}`],
      /cannot be seen from here has 10\.96\.0\.10:53 \(TCP\).*another address/,
    ],
    [
      'a program on our very address, over UDP alone: no agent',
      goodNode({
        sockets: [socket({ address: service })],
        bindTrials: new Map([...trials('free'), [bindKey('udp', { address: service, port: 53 }), 'not tried']]),
      }),
      [`ports blocking PortTaken ${service}`],
      /dnsmasq \(process 7\) has 10\.96\.0\.10:53 \(UDP\)/,
    ],
    [
      'Cilium',
      goodNode({ interfaces: ['lo', 'cilium_host'] }),
      ['network-plugin warning NetworkPluginBypasses'],
      /Cilium.*socket.*hostLegacyRouting/,
    ],
    [
      'Calico in eBPF mode',
      goodNode({ interfaces: ['bpfin.cali'] }),
      ['network-plugin warning NetworkPluginBypasses'],
      /Calico in eBPF mode/,
    ],
    [
      'Antrea',
      goodNode({ interfaces: ['antrea-gw0'] }),
      ['network-plugin warning NetworkPluginBypasses'],
      /Antrea.*Open vSwitch/,
    ],
    [
      'OVN-Kubernetes',
      goodNode({ interfaces: ['ovn-k8s-mp0'] }),
      ['network-plugin warning NetworkPluginBypasses'],
      /OVN-Kubernetes/,
    ],
    ['Kube-OVN', goodNode({ interfaces: ['ovn0'] }), ['network-plugin warning NetworkPluginBypasses'], /Kube-OVN/],
    [
      'an INPUT chain that lets in nothing but SSH and what goes on already',
      goodNode({
        ruleset: chain(
          'ip filter',
          { policy: 'drop' },
          [is({ ct: { key: 'state' } }, { set: ['established', 'related'] }), { accept: null }],
          [is(meta('iifname'), 'lo'), { accept: null }],
          [is(header('tcp', 'dport'), 22), { accept: null }],
        ),
      }),
      ['input blocking InputDropped'],
      /chain INPUT of table ip filter .*drops queries.*mark 0x10/,
    ],
    [
      'an INPUT chain that refuses one address alone',
      goodNode({ ruleset: chain('inet x', {}, [is(header('ip', 'daddr'), service), dnsPort, { reject: null }]) }),
      [`input blocking InputDropped ${service}`],
      /drops queries to 10\.96\.0\.10/,
    ],
    [
      'an INPUT chain of which nobody can say from outside whom it lets in',
      goodNode({
        ruleset: chain('ip filter', { policy: 'drop' }, [is(header('ip', 'saddr'), '10.244.0.0'), { accept: null }]),
      }),
      ['input warning InputDropped'],
      /cannot be judged from here/,
    ],
    [
      'an OUTPUT chain that lets out what it tracks',
      goodNode({
        ruleset: chain(
          'inet filter',
          { name: 'output', hook: 'output', policy: 'drop' },
          [is(meta('oifname'), 'lo'), { accept: null }],
          [is({ ct: { key: 'state' } }, { set: ['established', 'related', 'new'] }), { accept: null }],
        ),
      }),
      ['output blocking AnswersDropped'],
      /chain output of table inet filter .*drops answers from 169\.254\.10\.11, .*port 53.*tracked: true/,
    ],
    [
      'an OUTPUT chain that drops answers of one address',
      goodNode({
        ruleset: chain('ip x', { hook: 'postrouting' }, [is(header('ip', 'saddr'), service), { drop: null }]),
      }),
      [`output blocking AnswersDropped ${service}`],
      /drops answers from 10\.96\.0\.10 on their way to pods\. /,
    ],
    [
      'an OUTPUT chain of which nobody can say from outside what it lets out, for nothing would show that answers are lost',
      goodNode({
        ruleset: chain('ip filter', { name: 'OUTPUT', hook: 'output', policy: 'drop' }, [
          { xt: { type: 'match', name: 'conntrack' } },
          { accept: null },
        ]),
      }),
      ['output blocking AnswersDropped'],
      /cannot be judged from here/,
    ],
    [
      'firewalld',
      goodNode({ ruleset: [{ table: { family: 'inet', name: 'firewalld' } }] }),
      ['host-firewall warning HostFirewall'],
      /zone trusted/,
    ],
    [
      'ufw',
      goodNode({ ruleset: chain('ip filter', { name: 'ufw-before-input', hook: undefined }) }),
      ['host-firewall warning HostFirewall'],
      /ufw allow/,
    ],
    [
      'rules of the old iptables',
      goodNode({ legacyTables: ['ip filter'] }),
      ['host-firewall warning HostFirewall'],
      /ip filter.*iptables-legacy-save/,
    ],
    [
      'rules that NodeLocal DNSCache has left',
      goodNode({
        ruleset: chain('ip raw', { name: 'PREROUTING', hook: 'prerouting', prio: -300 }, [
          is(header('ip', 'daddr'), service),
          dnsPort,
          { xt: { type: 'target', name: 'CT' } },
        ]),
      }),
      [`shadowing-rules warning Shadowed ${service}`],
      /ip raw PREROUTING takes port 53 of 10\.96\.0\.10 out of connection tracking/,
    ],
    [
      'a redirection of all DNS',
      goodNode({
        ruleset: chain('ip nat', { name: 'PREROUTING', hook: 'prerouting', prio: -100, type: 'nat' }, [
          dnsPort,
          { xt: { type: 'target', name: 'REDIRECT' } },
        ]),
      }),
      ['shadowing-rules warning Shadowed 169.254.10.11'],
      /ip nat PREROUTING rewrites/,
    ],
    [
      'a transparent proxy for DNS, in a chain that is called',
      goodNode({
        ruleset: [
          ...chain('inet p', { name: 'pre', hook: 'prerouting', prio: -150 }, [{ jump: { target: 'dns' } }]),
          ...chain('inet p', { name: 'dns', hook: undefined }, [dnsPort, { tproxy: { port: 1053 } }]),
        ],
      }),
      ['shadowing-rules warning Shadowed 169.254.10.11'],
      /inet p dns hands queries.*after our rules/,
    ],
    [
      'a table of our name that is not ours',
      goodNode({ ruleset: chain('ip localdns', { policy: 'drop' }) }),
      ['table-name blocking TableTaken'],
      /ip localdns.*--nft-table/,
    ],
    [
      'rules of the packet filter that cannot be read',
      goodNode({ ruleset: undefined }),
      ['table-name warning RulesUnreadable'],
      /nft list ruleset/,
    ],
    [
      'a rule that takes our bit for its own',
      goodNode({
        ruleset: chain('ip mangle', { name: 'FORWARD', hook: 'forward' }, [
          is({ '&': [meta('mark'), 0x30] }, 0x20),
          { drop: null },
        ]),
      }),
      ['mark-bits warning MarkTaken'],
      /ip mangle FORWARD looks at bits 0x30.*--mark-intercept/,
    ],
    [
      'a rule that writes our bit',
      goodNode({
        ruleset: chain('ip mangle', { name: 'PREROUTING', hook: 'prerouting' }, [
          { mangle: { key: meta('mark'), value: { '|': [meta('mark'), 0x40] } } },
        ]),
      }),
      ['mark-bits warning MarkTaken'],
      /writes bits 0x40/,
    ],
    [
      'a rule of policy routing before ours that takes everything',
      goodNode({ policyRules: [rule({ priority: 5, table: 77 })] }),
      ['policy-rules warning Shadowed'],
      /rule 5 of ip rule comes before ours \(8\) and takes queries to table 77.*--rule-priority/,
    ],
    [
      'a rule of policy routing before ours for a network of which some of our addresses are',
      goodNode({ policyRules: [rule({ priority: 6, to: { address: '169.254.0.0', length: 16 } })] }),
      ['policy-rules warning Shadowed'],
      /rule 6 of ip rule comes before ours \(8\) and takes queries to table 254/,
    ],
    [
      'one for all but a network of which none of our addresses is, or not all',
      goodNode({
        policyRules: [
          rule({ priority: 5, inverted: true, to: { address: '198.51.100.0', length: 24 } }),
          rule({ priority: 6, inverted: true, to: { address: '169.254.0.0', length: 16 } }),
        ],
      }),
      ['policy-rules warning Shadowed', 'policy-rules warning Shadowed'],
      /takes queries/,
    ],
    [
      'those of which nobody can say from outside what they take: a source or an interface, bits of the mark that are not ours',
      goodNode({
        policyRules: [
          rule({ priority: 8, narrow: true }),
          rule({ priority: 7, narrow: true, inverted: true }),
          rule({ priority: 7, mark: 0x200, mask: 0xf00 }),
          rule({ priority: 7, mark: 0x200, mask: 0xf00, inverted: true }),
        ],
      }),
      Array(4).fill('policy-rules warning Shadowed'),
      /rule 8 .*may take queries, as far as can be seen from here, to table 254/,
    ],
    [
      'one before ours that refuses what it takes',
      goodNode({ policyRules: [rule({ priority: 7, table: 0, to: { address: '10.96.0.0', length: 12 } })] }),
      ['policy-rules warning Shadowed'],
      /takes queries away/,
    ],
    [
      'a rule of policy routing for our mark',
      goodNode({ policyRules: [rule({ family: 6, priority: 4, table: 77, mark: 0x10, mask: 0xff })] }),
      ['policy-rules warning MarkTaken'],
      /rule 4 of ip -6 rule looks at bits 0x70.*before ours/,
    ],
    [
      'a rule that leads to our routing table',
      goodNode({ policyRules: [rule({ table: usualNames.routeTable })] }),
      ['policy-rules warning RouteTableTaken'],
      /routing table 153.*--route-table/,
    ],
    [
      'rules that cannot be read',
      goodNode({ policyRules: undefined }),
      ['policy-rules warning RulesUnreadable'],
      /cannot be read/,
    ],
    [
      'a route of somebody in our table',
      goodNode({ routes: [{ family: 4, table: 153, text: '198.51.100.0/24', isLocalOnLoopback: false }] }),
      ['route-table blocking RouteTableTaken'],
      /198\.51\.100\.0\/24.*--route-table/,
    ],
    [
      'strict rp_filter that regards marks',
      goodNode({
        sysctls: new Map([
          ['ipv4.conf.all.rp_filter', 1],
          ['ipv4.conf.eth0.src_valid_mark', 1],
        ]),
      }),
      ['kernel-settings warning KernelSetting'],
      /net\.ipv4\.conf\.all\.rp_filter=1 with net\.ipv4\.conf\.eth0\.src_valid_mark=1.*set rp_filter to 2/,
    ],
    [
      'route_localnet',
      goodNode({ sysctls: new Map([['ipv4.conf.cni0.route_localnet', 1]]) }),
      ['kernel-settings warning KernelSetting'],
      /net\.ipv4\.conf\.cni0\.route_localnet=1.*127\.0\.0\.1/,
    ],
  ];
  for (const [about, facts, wantedTrouble, message] of cases) {
    test(about, () => {
      deepEqual(trouble(facts), wantedTrouble);
      match(preflight(facts).find(({ level }) => level !== 'ok')?.message ?? '', message);
    });
  }
});

suite('what others do without being in the way is no trouble:', () => {
  const harmless: [about: string, facts: NodeFacts][] = [
    [
      'another agent on our addresses, which shares them over UDP and TCP',
      goodNode({
        sockets: (['udp', 'tcp'] as const).map((protocol) => socket({ protocol, address: service })),
        bindTrials: new Map([...trials('free'), [bindKey('udp', { address: service, port: 53 }), 'not tried']]),
      }),
    ],
    [
      'our own rules, and those of another agent of ours',
      goodNode({
        ruleset: [
          ...chain('ip localdns', { name: 'prerouting', hook: 'prerouting', type: 'nat' }, [dnsPort, { dnat: {} }]),
          { set: { family: 'ip', table: 'localdns', name: 'cluster_addresses' } },
          ...chain('ip localdns-0123abcd', { name: 'input', policy: 'drop' }, [
            is({ '&': [meta('mark'), 0x10] }, 0x10),
            { mangle: { key: meta('mark'), value: 0x10 } },
          ]),
        ],
        policyRules: [rule({ priority: 8, table: 153, mark: 0x10, mask: 0x10 })],
        routes: [{ family: 4, table: 153, text: 'local 169.254.10.11/32', isLocalOnLoopback: true }],
      }),
    ],
    [
      'a chain of type nat that drops: what is not tracked does not pass it',
      goodNode({ ruleset: chain('ip nat', { hook: 'prerouting', type: 'nat', policy: 'drop' }) }),
    ],
    [
      "kube-proxy's translation of the Service address, and its marks",
      goodNode({
        ruleset: [
          ...chain('ip nat', { name: 'PREROUTING', hook: 'prerouting', type: 'nat' }, [
            is(header('ip', 'daddr'), service),
            dnsPort,
            { jump: { target: 'KUBE-SEP' } },
          ]),
          ...chain('ip nat', { name: 'KUBE-SEP', hook: undefined }, [
            is(meta('l4proto'), 'udp'),
            { xt: { type: 'target', name: 'DNAT' } },
          ]),
          ...chain('ip nat', { name: 'KUBE-MARK-MASQ', hook: undefined }, [
            { mangle: { key: meta('mark'), value: { '|': [meta('mark'), 0x4000] } } },
          ]),
        ],
      }),
    ],
    [
      'a firewall that was taught to accept our mark',
      goodNode({
        ruleset: chain('ip filter', { policy: 'drop' }, [is({ '&': [meta('mark'), 0x10] }, 0, '!='), { accept: null }]),
      }),
    ],
    [
      'firewalls that let in what begins and out what is established, where listeners are tracked',
      goodNode({
        wanted: { ...wanted, tracked: [...own, service] },
        ruleset: [
          ...chain('inet filter', { policy: 'drop' }, [is({ ct: { key: 'state' } }, 'new'), { accept: null }]),
          ...chain('inet filter', { name: 'OUTPUT', hook: 'output', policy: 'drop' }, [
            is({ ct: { key: 'state' } }, { set: ['established', 'related'] }),
            { accept: null },
          ]),
        ],
      }),
    ],
    ["kubelet's protection of loopback, as iptables-nft writes it", goodNode({ ruleset: kubeFirewall })],
    [
      "route_localnet where kube-proxy's own rule guards loopback",
      goodNode({
        sysctls: new Map([['ipv4.conf.all.route_localnet', 1]]),
        ruleset: chain('ip filter', { name: 'KUBE-FIREWALL', hook: undefined }),
      }),
    ],
    ['strict rp_filter alone', goodNode({ sysctls: new Map([['ipv4.conf.all.rp_filter', 1]]) })],
    [
      'an address on loopback, which pods cannot ask anyway',
      goodNode({
        wanted: { ...wanted, listen: [{ address: '127.0.0.1', port: 1053 }], own: ['127.0.0.1'], others: [] },
        ruleset: chain('ip filter', { policy: 'drop' }),
      }),
    ],
    [
      'a port that is no privileged one',
      goodNode({
        capabilities: 1n << 12n,
        sysctls: new Map([['ipv4.ip_unprivileged_port_start', 53]]),
      }),
    ],
    [
      'rules of policy routing after ours, or for what no query is before',
      goodNode({
        policyRules: [
          rule({ priority: 9, table: 2004, mark: 0x200, mask: 0xf00 }),
          rule({ priority: 9, table: 2005, narrow: true }),
          rule({ priority: 1536 }),
          rule({ priority: 5, to: { address: '198.51.100.0', length: 24 } }),
          rule({ priority: 5, to: { address: '198.51.100.0', length: 24 }, narrow: true, mark: 0x200, mask: 0xf00 }),
          rule({ priority: 5, mark: 0x200, mask: 0x210 }),
          rule({ priority: 5, mark: 0x10, mask: 0x10, inverted: true }),
          rule({ priority: 5, family: 6 }),
        ],
      }),
    ],
  ];
  for (const [about, facts] of harmless) test(about, () => deepEqual(trouble(facts), []));
});

suite('what remains possible', () => {
  const found = (level: Finding['level'], address?: string): Finding => ({
    ...{ check: 'x', level, reason: reasons.portTaken, message: address ?? 'all of it' },
    ...(address !== undefined && { address }),
  });
  const facts = { wanted };

  test('is everything where nothing is blocking', () => {
    deepEqual(clearance([found('ok'), found('warning', service)], facts), { obstacle: undefined, excluded: new Map() });
  });

  test('is all but the addresses that are named', () => {
    const { obstacle, excluded } = clearance([found('blocking', service), found('blocking', service)], facts);
    equal(obstacle, undefined);
    deepEqual([...excluded.keys()], [service]);
  });

  test('is nothing where a finding is about all, or one about each address', () => {
    equal(clearance([found('blocking', service), found('blocking')], facts).obstacle?.message, 'all of it');
    const each = [...own, service].map((address) => found('blocking', address));
    equal(clearance(each, facts).obstacle?.message, own[0]);
  });
});

test('a rule of an agent of before that had other names is nobody else’s', () => {
  const before = { ...usualNames, marks: { ...usualNames.marks, intercept: 0x100 }, rulePriority: 4 };
  const policyRules = [rule({ priority: 4, table: usualNames.routeTable, mark: 0x100, mask: 0x100 })];
  const said = (otherNames: Wanted['otherNames']) =>
    preflight(goodNode({ policyRules, wanted: { ...wanted, otherNames } })).filter(({ level }) => level !== 'ok');
  equal(said([])[0]?.reason, 'RouteTableTaken');
  deepEqual(said([before]), []);
});
