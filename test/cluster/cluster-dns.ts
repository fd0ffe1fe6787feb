import { writeFileSync } from 'node:fs';
import { isIPv4, isIPv6 } from 'node:net';
import { join } from 'node:path';
import { eventually } from '../tools/eventually.ts';
import { toolPath } from '../tools/find.ts';
import type { ControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import type { Namespace } from './namespace.ts';

export const clusterDnsServiceAddress = '10.96.0.10';
/** The same Service's other address, where cluster DNS is published with IPv6 endpoints too. */
export const clusterDnsServiceAddress6 = 'fd00:10:96::a';
const metricsPort = 9153;

export interface ClusterDnsOptions {
  name?: string;
  /** Where it listens, on port 53. */
  address?: string;
  /** Where it listens beside. */
  address6?: string;
  /** Where it runs, if not beside the API server; the addresses are there already then. */
  namespace?: Namespace;
  /** Serves no cluster, only `extraZones`: a resolver of a node. */
  plain?: boolean;
  /** More server blocks: zones, and what a Corefile says of them. `bind`, `errors` and `prometheus` are added to each. */
  extraZones?: Record<string, string>;
  /** Publishes the address as the Service kube-system/kube-dns. */
  published?: boolean;
}

/** Requests that a CoreDNS has received, by transport; of one zone, or of all that it serves. */
export interface RequestCounts {
  udp: number;
  tcp: number;
}

/** A real CoreDNS with its kubernetes plugin, which is what clusters have as their DNS. It caches nothing itself. */
export class ClusterDns {
  readonly address: string;
  readonly #namespace: Namespace;
  readonly #daemon: Daemon;

  private constructor(address: string, namespace: Namespace, daemon: Daemon) {
    this.address = address;
    this.#namespace = namespace;
    this.#daemon = daemon;
  }

  static async start(controlPlane: ControlPlane, options: ClusterDnsOptions): Promise<ClusterDns> {
    const { name = 'coredns', address = '10.240.0.53', address6, extraZones = {}, plain = false } = options;
    const { namespace = controlPlane.namespace, published = !plain } = options;
    const corefile = join(controlPlane.folder.path, `${name}.Corefile`);
    const zones = { ...(plain ? {} : await kubernetesZones(controlPlane)), ...extraZones };
    writeFileSync(
      corefile,
      Object.entries(zones)
        .map(([zone, body]) => block(zone, [address, ...(address6 === undefined ? [] : [address6])], body))
        .join('\n'),
    );
    if (options.namespace === undefined) namespace.addAddress(address);
    const args = ['-conf', corefile];
    const daemon = controlPlane.startDaemon({ name, command: toolPath('coredns'), args }, namespace);
    const dns = new ClusterDns(address, controlPlane.namespace, daemon);
    await eventually('CoreDNS answers', 20_000, async () => {
      daemon.assertRunning();
      const asked = plain ? 'any.example' : 'kubernetes.default.svc.cluster.local';
      const { answers } = await controlPlane.namespace.ask({ server: address, name: asked, timeoutMs: 500 });
      return answers.length > 0;
    });
    if (published) await publishClusterDns(controlPlane, [address]);
    return dns;
  }

  /** Its own counters, so that nobody has to be believed about what was asked of it and how. */
  async requests(zone?: string): Promise<RequestCounts> {
    const { body } = await this.#namespace.page({ url: `http://${this.address}:${metricsPort}/metrics` });
    const counts: RequestCounts = { udp: 0, tcp: 0 };
    for (const [, labels = '', value] of body.matchAll(/^coredns_dns_requests_total\{(.*)\} (\S+)$/gm)) {
      const label = Object.fromEntries(Array.from(labels.matchAll(/(\w+)="([^"]*)"/g), ([, key, text]) => [key, text]));
      if (zone !== undefined && label.zone !== zone) continue;
      counts[label.proto as keyof RequestCounts] += Number(value);
    }
    return counts;
  }

  get log(): string {
    return this.#daemon.log;
  }

  stop(): Promise<void> {
    return this.#daemon.kill();
  }

  /** Neither answers nor refuses from here on, as a machine whose network is gone. */
  hang(): void {
    this.#daemon.signal('SIGSTOP');
  }

  wake(): void {
    this.#daemon.signal('SIGCONT');
  }
}

/** A Corefile's words for a zone in which every name has this A record. */
export function everyName(address: string, ttlSeconds = 60): string {
  return `template IN A {
      answer "{{ .Name }} ${ttlSeconds} IN A ${address}"
    }`;
}

/**
 * Makes these addresses the cluster's DNS, as a real cluster publishes them, though no pod stands behind. With IPv6
 * addresses among them, the Service has an address of each family.
 */
export async function publishClusterDns(controlPlane: ControlPlane, addresses: readonly string[]): Promise<void> {
  const ports = ['UDP', 'TCP'].map((protocol) => ({ name: `dns-${protocol.toLowerCase()}`, port: 53, protocol }));
  const ofFamily = { IPv4: addresses.filter(isIPv4), IPv6: addresses.filter(isIPv6) };
  const dualStack = {
    ipFamilyPolicy: 'RequireDualStack',
    clusterIPs: [clusterDnsServiceAddress, clusterDnsServiceAddress6],
  };
  const slice = (addressType: keyof typeof ofFamily) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: addressType === 'IPv4' ? 'kube-dns-test' : 'kube-dns-test-6',
      namespace: 'kube-system',
      labels: { 'kubernetes.io/service-name': 'kube-dns', 'k8s-app': 'kube-dns' },
    },
    addressType,
    endpoints: ofFamily[addressType].map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports,
  });
  await controlPlane.applyOk([
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'kube-dns', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } },
      spec: { clusterIP: clusterDnsServiceAddress, ports, ...(ofFamily.IPv6.length > 0 && dualStack) },
    },
    slice('IPv4'),
    ...(ofFamily.IPv6.length > 0 ? [slice('IPv6')] : []),
  ]);
}

async function kubernetesZones(controlPlane: ControlPlane): Promise<Record<string, string>> {
  // Several may start at once: the server, unlike kubectl, does not mind who was first.
  await controlPlane.applyOk(clusterDnsAccess, '--server-side');
  const config = await controlPlane.kubeconfigFor({ serviceAccount: 'coredns', namespace: 'kube-system' });
  const kubernetes = `kubernetes cluster.local in-addr.arpa ip6.arpa {
      kubeconfig ${config}
      pods insecure
      ttl 30
    }`;
  return { 'cluster.local in-addr.arpa ip6.arpa': kubernetes };
}

function block(zone: string, addresses: readonly string[], body: string): string {
  return `${zone} {
    bind ${addresses.join(' ')}
    errors
    prometheus ${addresses[0]}:${metricsPort}
    ${body}
  }`;
}

/** What CoreDNS may read, as every installer of it grants. */
export const clusterDnsAccess = [
  { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'coredns', namespace: 'kube-system' } },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'system:coredns' },
    rules: [
      { apiGroups: [''], resources: ['endpoints', 'services', 'pods', 'namespaces'], verbs: ['list', 'watch'] },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
    ],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'system:coredns' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:coredns' },
    subjects: [{ kind: 'ServiceAccount', name: 'coredns', namespace: 'kube-system' }],
  },
];
