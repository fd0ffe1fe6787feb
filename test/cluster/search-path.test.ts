/** searchPath before a real CoreDNS with every kind of record that it has: what is saved, and that nothing is wrong. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import type { RecordType } from 'dns-packet';
import { ruledOutBy } from '../../agent/policy/search-path.ts';
import { nameFromText } from '../../agent/wire/name.ts';
import { eventually } from '../tools/eventually.ts';
import type { ClusterDns } from './cluster-dns.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

const root = resolve(import.meta.dirname, '../..');
/** One is set up as clusters have it, the other makes names of pods' own names, and of those that are there alone. */
const servers = { usual: '10.240.0.53', verified: '10.240.0.64' } as const;
const modes = { Disabled: 5_301, Spec: 5_302 } as const;
type Mode = keyof typeof modes;

/** What pods talk to outside, with one to four dots, each of them below the `ndots:5` of pods. */
const outside = Array.from({ length: 12 }, (_, at) => [
  `shop${at}.example`,
  `api.shop${at}.example`,
  `s3.eu-${at}.cloud.example`,
  `db.eu.shop${at}.corp.example`,
]).flat();
/** As people write them in the configuration of a pod. */
const inside = ['web', 'web.shop', 'web.shop.svc', 'kubernetes.default', 'web-0.nodes', 'web-0.nodes.shop.svc', 'away'];
const namespaces = ['shop', 'default'];

/** Names that CoreDNS's kubernetes plugin has, by the type that each is asked for. */
const records: readonly (readonly [RecordType, string])[] = [
  ['A', 'kubernetes.default.svc.cluster.local'],
  ['A', 'web.shop.svc.cluster.local'],
  ['SRV', 'web.shop.svc.cluster.local'],
  ['SRV', '_http._tcp.web.shop.svc.cluster.local'],
  ['A', '_http._tcp.web.shop.svc.cluster.local'],
  ['A', 'nodes.shop.svc.cluster.local'],
  ['AAAA', 'nodes.shop.svc.cluster.local'],
  ['SRV', '_peer._tcp.nodes.shop.svc.cluster.local'],
  ['A', 'web-0.nodes.shop.svc.cluster.local'],
  ['A', '10-244-0-7.nodes.shop.svc.cluster.local'],
  ['A', 'fixed.shop.svc.cluster.local'],
  ['CNAME', 'away.shop.svc.cluster.local'],
  ['A', 'away.shop.svc.cluster.local'],
  ['A', '10-1-2-3.shop.pod.cluster.local'],
  ['TXT', 'dns-version.cluster.local'],
  ['A', 'ns.dns.cluster.local'],
  ['SOA', 'cluster.local'],
  ['NS', 'cluster.local'],
  ['A', 'svc.cluster.local'],
  ['A', 'pod.cluster.local'],
  ['A', 'shop.svc.cluster.local'],
  ['A', 'shop.pod.cluster.local'],
];

let cluster: ControlPlane;
let dns: ClusterDns;

before(async () => {
  cluster = await startControlPlane();
  const everything = `template IN A {
      answer "{{ .Name }} 60 IN A 192.0.2.7"
    }
    template ANY ANY {
      authority ". 60 IN SOA ns. admin. 1 3600 600 86400 60"
    }`;
  dns = await cluster.startClusterDns({ extraZones: { '.': everything } });
  await cluster.applyOk(objects);
  const podIP = '10.244.0.8';
  const status = JSON.stringify({ status: { phase: 'Running', podIP, podIPs: [{ ip: podIP }] } });
  await cluster.kubectlOk('patch', 'pod/some-pod', '-n', 'shop', '--subresource=status', '--type=merge', '-p', status);
  const kubeconfig = await cluster.kubeconfigFor({ serviceAccount: 'coredns', namespace: 'kube-system' });
  const verified = `kubernetes {
      kubeconfig ${kubeconfig}
      pods verified
      endpoint_pod_names
    }`;
  const extraZones = { 'cluster.local': verified, '.': everything };
  await cluster.startClusterDns({ name: 'verified', address: servers.verified, plain: true, extraZones });
  for (const [mode, port] of Object.entries(modes)) startAgent(mode as Mode, port);
  for (const mode of Object.keys(modes) as Mode[]) {
    await eventually(`${mode} has the records`, 20_000, async () => {
      const { answers } = await ask(mode, 'A', 'web-0.nodes.shop.svc.cluster.local');
      return answers.length > 0;
    });
  }
});

after(() => cluster?.stop());

function startAgent(mode: Mode, port: number): void {
  const file = join(cluster.folder.path, `${mode}.json`);
  const spec = { searchPath: mode };
  const profile = { apiVersion: 'localdns.dev/v1alpha1', kind: 'LocalDnsProfile', metadata: { name: 'default' }, spec };
  writeFileSync(file, JSON.stringify(profile));
  cluster.startDaemon({
    name: `agent-${mode}`,
    command: join(root, 'bin/localdns'),
    args: [
      ...['agent', '--no-datapath', '--profile', file, '--cluster-dns', servers.usual, '--node-dns', servers.usual],
      ...['--listen-cluster', `127.0.0.1:${port}`, '--listen-node', `127.0.0.1:${port + 100}`],
      ...['--metrics', `127.0.0.1:${port + 200}`, '--state-dir', cluster.makeFolder(`state-${mode}`)],
    ],
  });
}

function ask(server: Mode | keyof typeof servers, type: RecordType, name: string) {
  const isMode = server === 'Spec' || server === 'Disabled';
  const where = isMode ? { server: '127.0.0.1', port: modes[server] } : { server: servers[server] };
  return cluster.namespace.ask({ ...where, name, type });
}

/** As a pod's resolver does: along the search path, A and AAAA of each name, until one is there. */
async function resolveAsPod(mode: Mode, name: string, namespace: string): Promise<string> {
  const path = [`${namespace}.svc.cluster.local`, 'svc.cluster.local', 'cluster.local'];
  for (const candidate of [...path.map((suffix) => `${name}.${suffix}`), name]) {
    const answers = await Promise.all((['A', 'AAAA'] as const).map((type) => ask(mode, type, candidate)));
    const found = answers.flatMap((answer) => answer.answers.map(({ data }) => data));
    if (found.length > 0) return `${candidate} ${found.sort().join(' ')}`;
  }
  return 'nothing';
}

test('pods with ndots:5 find what they mean, and CoreDNS is asked for less than half of the names below its domain', async () => {
  const asked: Record<string, number> = {};
  const found: Record<string, string[]> = {};
  for (const mode of Object.keys(modes) as Mode[]) {
    const earlier = await dns.requests('cluster.local.');
    const results: string[] = [];
    for (const namespace of namespaces) {
      for (const name of [...inside, ...outside]) results.push(await resolveAsPod(mode, name, namespace));
    }
    const now = await dns.requests('cluster.local.');
    asked[mode] = now.tcp + now.udp - earlier.tcp - earlier.udp;
    found[mode] = results;
  }
  assert.deepEqual(found.Spec, found.Disabled);
  assert.ok(found.Spec?.includes('web.shop.svc.cluster.local 10.96.0.80'), String(found.Spec));
  const { Disabled = 0, Spec = 0 } = asked;
  console.log(`queries below cluster.local: ${Disabled} without, ${Spec} with searchPath: Spec`);
  assert.ok(Spec < Disabled / 2, `${Spec} of ${Disabled}`);
});

test('CoreDNS denies a name that has others below it, which hides none of them (RFC 8020)', async () => {
  const above = '_tcp.web.shop.svc.cluster.local';
  assert.equal((await ask('usual', 'SRV', above)).rcode, 'NXDOMAIN', 'why an NXDOMAIN is believed only with a proof');
  assert.equal((await ask('Disabled', 'SRV', above)).rcode, 'NXDOMAIN');
  assert.equal((await ask('Disabled', 'SRV', `_http.${above}`)).answers.length, 1);
});

test('each name that CoreDNS has is answered as CoreDNS answers it', async () => {
  const absent: string[] = [];
  for (const [type, name] of records) {
    const [own, direct] = await Promise.all([ask('Spec', type, name), ask('usual', type, name)]);
    const told = ({ rcode, answers }: typeof own) => [rcode, answers.map(({ data }) => data).sort()];
    assert.deepEqual(told(own), told(direct), `${type} ${name}`);
    if (direct.rcode !== 'NOERROR') absent.push(name);
  }
  assert.deepEqual(absent, []);
});

test('what names could be, with up to two labels in front: none that CoreDNS has is ruled out', async () => {
  const labels = ['web', 'shop', 'web-0', '_http', 'http', '_tcp', 'tcp', '_peer', 'svc', 'pod', '10-1-2-3', 'example'];
  const seeds = [
    ...records.map(([, name]) => name),
    ...['10-244-0-8.shop.pod.cluster.local', 'some-pod.nodes.shop.svc.cluster.local'],
    ...['10-1-2-3.nowhere.pod.cluster.local', 'a.b.c.d.svc.cluster.local', 'a.b.cluster.local'],
  ];
  const one = labels.map((label) => `${label}.`);
  const fronts = ['', ...one, ...one.flatMap((first) => one.map((second) => first + second))];
  const names = new Set(seeds.flatMap((seed) => fronts.map((front) => front + seed)));
  const domain = nameFromText('cluster.local');
  const wrong: string[] = [];
  const there = { usual: new Set<string>(), verified: new Set<string>() };
  const queue = names.values();
  const lane = async () => {
    for (const name of queue) {
      const isRuledOut = ruledOutBy(nameFromText(name), domain) !== undefined;
      for (const server of Object.keys(servers) as (keyof typeof servers)[]) {
        const { rcode } = await ask(server, 'A', name);
        if (rcode !== 'NXDOMAIN') there[server].add(name);
        if (rcode !== 'NXDOMAIN' && isRuledOut) wrong.push(`${server}: ${name}`);
      }
    }
  };
  await Promise.all(Array.from({ length: 16 }, lane));
  assert.deepEqual(wrong.sort(), []);
  assert.ok(there.usual.has('10-1-2-3.shop.pod.cluster.local'));
  for (const own of ['10-244-0-8.shop.pod.cluster.local', 'some-pod.nodes.shop.svc.cluster.local']) {
    assert.ok(there.verified.has(own), own);
  }
  assert.ok(!there.verified.has('10-1-2-3.shop.pod.cluster.local'));
});

test('nothing that exists was ever ruled out', async () => {
  const { body } = await cluster.namespace.page({ url: `http://127.0.0.1:${modes.Spec + 200}/metrics` });
  const total = (name: string) =>
    [...body.matchAll(new RegExp(`^${name}\\{.*\\} (\\d+)$`, 'gm'))].reduce((sum, [, value]) => sum + Number(value), 0);
  assert.ok(total('localdns_search_path_saved_total') > 200, body);
  assert.equal(total('localdns_search_path_wrong_total'), 0);
});

const port = (name: string, number: number) => ({ name, port: number, protocol: 'TCP' });
const service = (name: string, spec: object) => ({
  ...{ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'shop' } },
  spec,
});
const slice = (name: string, of: string, ports: object[], endpoints: object[], addressType = 'IPv4') => ({
  ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' },
  metadata: { name, namespace: 'shop', labels: { 'kubernetes.io/service-name': of } },
  ...{ addressType, ports, endpoints },
});
const endpoint = (address: string, hostname?: string, pod?: string) => ({
  ...{ addresses: [address], conditions: { ready: true } },
  ...(hostname !== undefined && { hostname }),
  ...(pod !== undefined && { targetRef: { kind: 'Pod', name: pod, namespace: 'shop' } }),
});

const objects = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
  { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: 'shop' } },
  {
    ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'some-pod', namespace: 'shop' } },
    spec: { nodeName: 'n1', containers: [{ name: 'some', image: 'some.example/image' }] },
  },
  service('web', { clusterIP: '10.96.0.80', ports: [port('http', 80)] }),
  slice('web-1', 'web', [port('http', 8_080)], [endpoint('10.244.0.9')]),
  service('nodes', { clusterIP: 'None', ports: [port('peer', 7_000)] }),
  slice(
    'nodes-1',
    'nodes',
    [port('peer', 7_000)],
    [endpoint('10.244.0.7'), endpoint('10.244.0.8', 'web-0'), endpoint('10.244.0.5', undefined, 'some-pod')],
  ),
  slice('nodes-2', 'nodes', [port('peer', 7_000)], [endpoint('fd00:244::8', 'web-0')], 'IPv6'),
  // Without a selector: somebody writes its endpoints.
  service('fixed', { clusterIP: 'None', ports: [port('db', 5_432)] }),
  slice('fixed-1', 'fixed', [port('db', 5_432)], [endpoint('192.0.2.99')]),
  service('away', { type: 'ExternalName', externalName: 'away.example' }),
];
