/** `localdns agent --preflight` on nodes that really are as they are said to be. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, beforeEach, suite, test } from 'node:test';
import type { Finding } from '../../agent/datapath/preflight/finding.ts';
import { Namespace } from '../cluster/namespace.ts';
import { eventually } from '../tools/eventually.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { nft, sysctl } from './network.ts';
import { nodeState } from './node-state.ts';
import { listening, listeningAsAgent } from './port-holders.ts';

const program = resolve(import.meta.dirname, '../../bin/localdns');
const folder = new RunFolder('preflight');
const service = '10.96.0.10';
const own = ['169.254.10.10', '169.254.10.11', 'fdcd:6c64:6e73::10', 'fdcd:6c64:6e73::11'];
const nodeResolver = '192.0.2.53';

/** A node with a good configuration of a cluster, from which the Service address is known. */
const stateDir = join(folder.path, 'state');
mkdirSync(stateDir);
const block = {
  ...{ zone: '.', queryLogging: 'Error', protocol: 'PreferUDP', forwardDestination: 'VnetDNS' },
  ...{ forwardPolicy: 'Sequential', maxConcurrent: 1000, cacheDurationInSeconds: 3600 },
  ...{ negativeCacheDurationInSeconds: 30, serveStaleDurationInSeconds: 3600, serveStale: 'Immediate' },
};
const listener = (name: string, end: string) => ({
  ...{ name, intercept: true, tracked: false, serverBlocks: [block] },
  addresses: own.filter((address) => address.endsWith(end)),
});
writeFileSync(
  join(stateDir, 'last-good.json'),
  JSON.stringify({
    ...{ profile: 'default', revision: 'v1-0', clusterDns: [] },
    config: {
      ...{ formatVersion: 1, clusterDomain: 'cluster.local', upstreams: [] },
      clusterDNS: { namespace: 'kube-system', service: 'kube-dns', addresses: [service] },
      listeners: [listener('cluster', '11'), listener('node', '10')],
    },
  }),
);
const usual = ['agent', '--preflight', '--state-dir', stateDir, '--node-dns', nodeResolver];

let node: Namespace;
const nodes: Namespace[] = [];
const running: ChildProcess[] = [];

beforeEach(() => {
  node = new Namespace(folder, 'node');
  nodes.push(node);
});

after(async () => {
  for (const child of running) child.kill('SIGKILL');
  for (const each of nodes) await each.close();
  await folder.remove();
});

interface Report {
  code: number;
  findings: Finding[];
  /** What is not good: CHECK LEVEL REASON [ADDRESS]. */
  trouble: string[];
  messages: string;
}

async function preflight(wrapper: readonly string[] = [], more: readonly string[] = []): Promise<Report> {
  const [command = '', ...args] = [...wrapper, program, ...usual, '--output', 'json', ...more];
  const { stdout, stderr, code } = await node.run(command, args);
  assert.equal(stderr, '');
  const findings = JSON.parse(stdout) as Finding[];
  const bad = findings.filter(({ level }) => level !== 'ok');
  return {
    code,
    findings,
    trouble: bad.map(({ check, level, reason, address }) =>
      [check, level, reason, ...(address ? [address] : [])].join(' '),
    ),
    messages: bad.map(({ message }) => message).join('\n'),
  };
}

/** An interface of this name; here a veth device, for the machine may have no dummy ones. It is down, as those of IPVS are. */
function addInterface(name: string, ...addresses: string[]): void {
  node.ip('link', 'add', name, 'type', 'veth', 'peer', 'name', `${name.slice(0, 10)}-peer`);
  for (const address of addresses) node.ip('address', 'add', `${address}/32`, 'dev', name);
}

/** Another program on port 53. */
async function occupy(open: string): Promise<void> {
  const child = node.exec(process.execPath, ['-e', open], { stdio: ['ignore', 'pipe', 'inherit'] });
  running.push(child);
  assert.ok(child.stdout);
  await once(child.stdout, 'data');
}

suite('a preflight', () => {
  test('finds nothing in the way on a plain node, and leaves it as it was', async () => {
    const before = await nodeState(node);
    const { code, trouble, findings } = await preflight();
    assert.deepEqual([code, trouble], [0, []]);
    assert.ok(findings.length > 15);
    assert.deepEqual(await nodeState(node), before);
  });

  test('prints a table for people, and what it comes to', async () => {
    const { stdout, code } = await node.run(program, usual);
    const [heading = '', first = ''] = stdout.split('\n');
    assert.match(heading, /^LEVEL +CHECK +MESSAGE$/);
    assert.match(first, /^ok +linux +this is Linux$/);
    assert.match(stdout, /\n\nCan be intercepted: 169\.254\.10\.11, .*10\.96\.0\.10, .*192\.0\.2\.53\.\n$/);
    assert.equal(code, 0);
  });

  test('cannot run where the state folder holds nonsense, or the profile is not to be read', async () => {
    const broken = join(folder.path, 'broken');
    mkdirSync(broken, { recursive: true });
    writeFileSync(join(broken, 'last-good.json'), '{');
    const { code, stderr } = await node.run(program, ['agent', '--preflight', '--state-dir', broken]);
    assert.equal(code, 2);
    assert.match(stderr, /last-good\.json/);
    assert.equal((await node.run(program, ['agent', '--preflight', '--profile', '/nowhere.yaml'])).code, 2);
  });

  test('judges the addresses of a profile, and those given by option', async () => {
    const profile = join(folder.path, 'profile.yaml');
    writeFileSync(
      profile,
      `apiVersion: localdns.dev/v1alpha1
kind: LocalDnsProfile
metadata: { name: p }
spec: { listeners: { cluster: { addresses: [169.254.77.1] } } }
`,
    );
    addInterface('eth7', '169.254.77.1');
    const { trouble } = await preflight([], ['--profile', profile]);
    assert.deepEqual(trouble, ['addresses warning AddressTaken 169.254.77.1']);
    await occupy(listening('tcp', '127.0.0.1'));
    const given = await preflight([], ['--profile', profile, '--listen-cluster', '127.0.0.1:53']);
    assert.deepEqual(given.trouble, ['ports blocking PortTaken 127.0.0.1']);
  });
});

suite('what this process lacks', () => {
  test('is nft', async () => {
    const hide = 'mount -t tmpfs none /usr/sbin && { [ -L /sbin ] || mount -t tmpfs none /sbin; } && exec "$@"';
    const { code, trouble } = await preflight(['unshare', '--mount', '/bin/sh', '-c', hide, 'sh']);
    assert.deepEqual([code, trouble], [1, ['nft blocking NftMissing']]);
  });

  test('is the capability NET_ADMIN', async () => {
    const dropped = ['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin'];
    const { code, trouble } = await preflight(dropped);
    assert.deepEqual([code, trouble], [1, ['capabilities blocking CapabilityMissing']]);
  });

  test('is the capability NET_BIND_SERVICE', async () => {
    const dropped = ['setpriv', '--bounding-set', '-net_bind_service', '--inh-caps', '-net_bind_service'];
    const { code, trouble } = await preflight(dropped);
    assert.deepEqual([code, trouble], [1, ['capabilities blocking CapabilityMissing']]);
  });

  test('is nothing where it has what the chart gives an agent, and no capability more', async () => {
    const chart = ['setpriv', '--bounding-set', '-all,+net_admin,+net_bind_service', '--inh-caps', '-all'];
    const { code, trouble } = await preflight(chart);
    assert.deepEqual([code, trouble], [0, []]);
  });

  test('is IPv6', async () => {
    sysctl(node, { 'net/ipv6/conf/all/disable_ipv6': '1' });
    const { code, trouble } = await preflight();
    assert.equal(code, 0);
    assert.deepEqual(trouble.sort(), [
      'ipv6 warning IPv6Missing fdcd:6c64:6e73::10',
      'ipv6 warning IPv6Missing fdcd:6c64:6e73::11',
    ]);
  });
});

suite('who else is on the node', () => {
  test('is kube-proxy in IPVS mode, whose interface is down', async () => {
    addInterface('kube-ipvs0', service, '10.96.0.1');
    const { code, trouble } = await preflight();
    assert.deepEqual([code, trouble], [1, [`addresses blocking HeldByIPVS ${service}`]]);
  });

  test('is NodeLocal DNSCache with its rules, which hold the Service address', async () => {
    addInterface('nodelocaldns', '169.254.20.10', service);
    nft(
      node,
      `table ip raw {
  chain PREROUTING {
    type filter hook prerouting priority raw; policy accept;
    ip daddr { 169.254.20.10, ${service} } udp dport 53 notrack
  }
}`,
    );
    const { code, trouble } = await preflight();
    assert.equal(code, 1);
    assert.deepEqual(trouble, [
      `other-node-local-dns blocking AnotherNodeLocalDNS ${service}`,
      `shadowing-rules warning Shadowed ${service}`,
    ]);
  });

  test('is AKS LocalDNS', async () => {
    addInterface('localdns', '169.254.10.10', '169.254.10.11');
    const { code, trouble, messages } = await preflight();
    assert.equal(code, 1);
    assert.deepEqual(trouble.sort(), [
      'other-node-local-dns blocking AnotherNodeLocalDNS 169.254.10.10',
      'other-node-local-dns blocking AnotherNodeLocalDNS 169.254.10.11',
    ]);
    assert.match(messages, /AKS LocalDNS/);
  });

  test('is Cilium', async () => {
    addInterface('cilium_host');
    const { code, trouble } = await preflight();
    assert.deepEqual([code, trouble], [0, ['network-plugin warning NetworkPluginBypasses']]);
  });

  test('is an agent that serves, beside which another one may: nothing is in the way', async () => {
    await occupy(listeningAsAgent('169.254.10.11', service));
    const { code, trouble } = await preflight();
    assert.deepEqual([code, trouble], [0, []]);
  });

  for (const protocol of ['udp', 'tcp'] as const) {
    test(`is a program on port 53 of every address, over ${protocol}: it is named`, async () => {
      await occupy(listening(protocol, '0.0.0.0'));
      const { code, trouble, messages } = await preflight();
      assert.equal(code, 1);
      const v4 = ['169.254.10.11', '169.254.10.10', service, nodeResolver];
      assert.deepEqual(trouble.sort(), v4.map((address) => `ports blocking PortTaken ${address}`).sort());
      const [holder] = running.slice(-1);
      assert.match(messages, new RegExp(`\\(process ${holder?.pid}\\) has 0\\.0\\.0\\.0:53`));
    });
  }
});

suite('rules that are there already', () => {
  test('are a firewall that lets in what it knows', async () => {
    nft(
      node,
      `table inet firewalld {
  chain filter_INPUT {
    type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    jump zones
    ct state invalid drop
    reject with icmpx admin-prohibited
  }
  chain zones {
    goto public
  }
  chain public {
    tcp dport 22 ct state { new, untracked } accept
  }
}`,
    );
    const { code, trouble, messages } = await preflight();
    assert.deepEqual([code, trouble], [1, ['input blocking InputDropped', 'host-firewall warning HostFirewall']]);
    assert.match(messages, /filter_INPUT of table inet firewalld/);
    // The remedy that the finding names, applied.
    nft(node, 'insert rule inet firewalld filter_INPUT meta mark & 0x10 != 0 accept');
    const mended = await preflight();
    assert.deepEqual([mended.code, mended.trouble], [0, ['host-firewall warning HostFirewall']]);
  });

  test('are those of a program that alone may change them, which nft 1.0.6 cannot print whole', async () => {
    const owner = node.exec('nft', ['-i'], { stdio: ['pipe', 'ignore', 'inherit'] });
    running.push(owner);
    const chain = 'chain c { type filter hook input priority 0; policy accept; udp dport 53 drop; }';
    owner.stdin?.write(
      `table inet fw { flags owner; ${chain}; }\ntable inet localdns-0123abcd { flags owner; ${chain}; }\n`,
    );
    const isThere = async () => /0123abcd/.test((await node.run('nft', ['list', 'tables'])).stdout);
    await eventually('the tables of the owner', 5_000, isThere);
    const { code, trouble, messages } = await preflight();
    assert.deepEqual([code, trouble], [1, ['input blocking InputDropped']]);
    assert.match(messages, /table inet fw /);
  });

  test('are those of iptables: for all DNS, and an INPUT chain that drops', async () => {
    for (const args of [
      ['-P', 'INPUT', 'DROP'],
      ['-A', 'INPUT', '-p', 'tcp', '--dport', '22', '-j', 'ACCEPT'],
      ['-t', 'nat', '-A', 'PREROUTING', '-p', 'udp', '--dport', '53', '-j', 'REDIRECT', '--to-ports', '1053'],
    ]) {
      assert.equal((await node.run('iptables', ['-w', ...args])).code, 0, args.join(' '));
    }
    const { code, trouble } = await preflight();
    assert.equal(code, 1);
    const v4 = ['169.254.10.11', service, '169.254.10.10', nodeResolver];
    assert.deepEqual(
      trouble.sort(),
      [
        ...v4.map((address) => `input blocking InputDropped ${address}`),
        'shadowing-rules warning Shadowed 169.254.10.11',
      ].sort(),
    );
    // The other form of the remedy.
    await node.run('iptables', ['-w', '-I', 'INPUT', '-m', 'mark', '--mark', '0x10/0x10', '-j', 'ACCEPT']);
    assert.equal((await preflight()).code, 0);
  });

  test('are those of kubelet, which protect loopback and harm nobody', async () => {
    const rule = ['!', '-s', '127.0.0.0/8', '-d', '127.0.0.0/8', '-m', 'comment', '--comment', 'block localnet'];
    for (const args of [
      ['-N', 'KUBE-FIREWALL'],
      ['-A', 'KUBE-FIREWALL', ...rule, '-m', 'conntrack', '!', '--ctstate', 'RELATED,ESTABLISHED,DNAT', '-j', 'DROP'],
      ['-A', 'INPUT', '-j', 'KUBE-FIREWALL'],
      ['-A', 'OUTPUT', '-j', 'KUBE-FIREWALL'],
    ]) {
      assert.equal((await node.run('iptables', ['-w', ...args])).code, 0, args.join(' '));
    }
    const { code, trouble } = await preflight();
    assert.deepEqual([code, trouble], [0, []]);
  });

  test('are those of an OUTPUT chain that lets out what is tracked alone', async () => {
    const accept = ['-m', 'conntrack', '--ctstate', 'NEW,ESTABLISHED', '-j', 'ACCEPT'];
    for (const args of [
      ['-P', 'OUTPUT', 'DROP'],
      ['-A', 'OUTPUT', '-o', 'lo', '-j', 'ACCEPT'],
      ['-A', 'OUTPUT', ...accept],
    ]) {
      assert.equal((await node.run('iptables', ['-w', ...args])).code, 0, args.join(' '));
    }
    const { code, trouble, messages } = await preflight();
    const v4 = ['169.254.10.11', service, '169.254.10.10', nodeResolver];
    assert.equal(code, 1);
    assert.deepEqual(trouble.sort(), v4.map((address) => `output blocking AnswersDropped ${address}`).sort());
    assert.match(messages, /accept UDP and TCP from port 53 of 169\.254\.10\.11 in it/);
    // The remedy that the finding names, applied.
    for (const protocol of ['udp', 'tcp']) {
      for (const address of v4) {
        const args = ['-A', 'OUTPUT', '-p', protocol, '-s', address, '--sport', '53', '-j', 'ACCEPT'];
        assert.equal((await node.run('iptables', ['-w', ...args])).code, 0);
      }
    }
    assert.deepEqual((await preflight()).trouble, []);
  });

  test('are those of policy routing, and a table of another program', async () => {
    node.ip('rule', 'add', 'priority', '5', 'lookup', '77');
    node.ip('rule', 'add', 'priority', '6', 'to', '169.254.0.0/16', 'lookup', 'main');
    node.ip('rule', 'add', 'priority', '6', 'from', '198.51.100.0/24', 'unreachable');
    node.ip('rule', 'add', 'priority', '6', 'to', '198.51.100.0/24', 'lookup', '77');
    node.ip('rule', 'add', 'priority', '6', 'not', 'fwmark', '0x10/0x10', 'lookup', '77');
    node.ip('-6', 'rule', 'add', 'priority', '6', 'fwmark', '0x30/0x30', 'lookup', '78');
    node.ip('route', 'add', 'blackhole', '198.51.100.0/24', 'table', '153');
    const { code, trouble, messages } = await preflight();
    assert.equal(code, 1);
    assert.match(
      messages,
      /rule 6 of ip rule .* takes queries to table 254: .*\n.*rule 6 of ip rule .* may take queries, .* away/,
    );
    assert.deepEqual(trouble, [
      'policy-rules warning Shadowed',
      'policy-rules warning Shadowed',
      'policy-rules warning Shadowed',
      'policy-rules warning MarkTaken',
      'route-table blocking RouteTableTaken',
    ]);
    const other = ['--route-table', '154', '--rule-priority', '4', '--mark-intercept', '0x100', '--mark-own', '0x200'];
    assert.deepEqual((await preflight([], other)).trouble, []);
  });

  test('are a table of our name', async () => {
    nft(node, 'table ip localdns {\n set hosts { type ipv4_addr; }\n}');
    const { code, trouble } = await preflight();
    assert.deepEqual([code, trouble], [1, ['table-name blocking TableTaken']]);
    assert.equal((await preflight([], ['--nft-table', 'node-dns'])).code, 0);
  });

  test('are settings of the kernel', async () => {
    sysctl(node, {
      'net/ipv4/conf/lo/route_localnet': '1',
      'net/ipv4/conf/all/rp_filter': '1',
      'net/ipv4/conf/all/src_valid_mark': '1',
    });
    const { code, trouble } = await preflight();
    assert.deepEqual(
      [code, trouble],
      [0, ['kernel-settings warning KernelSetting', 'kernel-settings warning KernelSetting']],
    );
  });
});
