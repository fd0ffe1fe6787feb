import { apiVersion, profileLabel } from '../../api/v1alpha1/labels.ts';
import {
  ClusterDns,
  clusterDnsServiceAddress,
  clusterDnsServiceAddress6,
  everyName,
  publishClusterDns,
} from '../cluster/cluster-dns.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import type { Daemon } from '../cluster/daemon.ts';
import { type AgentPlace, Installation } from '../cluster/installation.ts';
import { Namespace } from '../cluster/namespace.ts';
import { KubeProxy, type ProxyMode } from './kube-proxy.ts';
import { type Addresses, addresses, attach, makeRouter, podAddresses, routeToPods } from './network.ts';
import type { Ground } from './ordeal.ts';

export const nodeName = 'n1';
export const podCount = 3;
export const serviceAddresses: Addresses = { v4: clusterDnsServiceAddress, v6: clusterDnsServiceAddress6 };
/** The addresses of a profile's listeners that only the agent answers at. */
export const clusterListeners: Addresses = { v4: '169.254.10.11', v6: 'fdcd:6c64:6e73::11' };
export const nodeListeners: Addresses = { v4: '169.254.10.10', v6: 'fdcd:6c64:6e73::10' };

/** Who answers a name outside of cluster.local shows in the address that it gets. */
export const answerOf = {
  clusterDns: '192.0.2.7',
  nodeResolver: '198.51.100.7',
  otherResolver: '203.0.113.7',
} as const;

/**
 * One node with three pods, the real kube-proxy, and two real CoreDNS as pods: one on this node, one on another. CoreDNS
 * asks the node's resolver for what is neither the cluster's nor below `example`, as it does in a real cluster.
 */
export class Lab implements Ground {
  readonly cluster: ControlPlane;
  readonly node: Namespace;
  readonly pods: readonly Namespace[];
  readonly nearDnsPod: Namespace;
  readonly farDnsPod: Namespace;
  readonly localdns: Installation;
  readonly nearDns: ClusterDns;
  readonly farDns: ClusterDns;
  readonly nodeResolver: ClusterDns;
  readonly otherResolver: ClusterDns;
  kubeProxy: KubeProxy;
  readonly #namespaces: readonly Namespace[];

  private constructor(network: Network, dns: Servers, localdns: Installation, kubeProxy: KubeProxy) {
    this.cluster = network.cluster;
    this.node = network.node;
    this.pods = network.pods;
    this.nearDnsPod = network.nearDnsPod;
    this.farDnsPod = network.farDnsPod;
    this.#namespaces = network.namespaces;
    this.localdns = localdns;
    this.nearDns = dns.nearDns;
    this.farDns = dns.farDns;
    this.nodeResolver = dns.nodeResolver;
    this.otherResolver = dns.otherResolver;
    this.kubeProxy = kubeProxy;
  }

  static async start(mode: ProxyMode): Promise<Lab> {
    // A real one is on other machines: it shall not take the node's processors.
    const cluster = await startControlPlane({ niceness: 10 });
    try {
      const network = makeNetwork(cluster);
      const [dns, localdns, kubeProxy] = await Promise.all([
        startServers(network),
        Installation.create(cluster),
        (async () => {
          await addNode(cluster);
          await publishClusterDns(cluster, [...Object.values(addresses.nearDns), ...Object.values(addresses.farDns)]);
          return await KubeProxy.start(cluster, network.node, nodeName, mode);
        })(),
      ]);
      return new Lab(network, dns, localdns, kubeProxy);
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  get bystander() {
    return { from: this.farDnsPod, server: addresses.otherResolver.v4 };
  }

  addressesOf(client: Namespace): string[] {
    return Object.values(client === this.node ? addresses.node : podAddresses(this.pods.indexOf(client)));
  }

  async setProxyMode(mode: ProxyMode): Promise<void> {
    if (mode !== this.kubeProxy.mode) await this.restartKubeProxy(mode);
  }

  async restartKubeProxy(mode = this.kubeProxy.mode): Promise<void> {
    await this.kubeProxy.stop();
    this.kubeProxy = await KubeProxy.start(this.cluster, this.node, nodeName, mode);
  }

  /** Which of the cluster DNS's endpoints the API server has as ready. */
  async publish(...ready: readonly Addresses[]): Promise<void> {
    await publishClusterDns(
      this.cluster,
      ready.flatMap((one) => Object.values(one)),
    );
  }

  async applyProfile(spec: object, name = 'default'): Promise<void> {
    await this.cluster.applyOk([{ apiVersion, kind: 'LocalDnsProfile', metadata: { name }, spec }]);
  }

  async label(value: string | undefined): Promise<void> {
    const change = value === undefined ? `${profileLabel}-` : `${profileLabel}=${value}`;
    await this.cluster.kubectlOk('label', '--overwrite', `node/${nodeName}`, change);
  }

  startOperator(): Daemon {
    return this.localdns.startOperator();
  }

  startAgent(place: AgentPlace = {}): Daemon {
    return this.localdns.startAgent(nodeName, addresses.nodeResolver.v4, undefined, { namespace: this.node, ...place });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#namespaces.map((namespace) => namespace.close()));
    await this.cluster.stop();
  }
}

interface Network {
  cluster: ControlPlane;
  node: Namespace;
  resolverHost: Namespace;
  pods: Namespace[];
  nearDnsPod: Namespace;
  farDnsPod: Namespace;
  namespaces: Namespace[];
}

function makeNetwork(cluster: ControlPlane): Network {
  const world = cluster.namespace;
  const make = (label: string) => new Namespace(cluster.folder, label);
  const [node, resolverHost, nearDnsPod, farDnsPod] = [make('node'), make('resolver'), make('near'), make('far')];
  const pods = Array.from({ length: podCount }, (_, number) => make(`pod${number}-`));
  makeRouter(world);
  makeRouter(node);
  attach(node, world, 'node', addresses.node, addresses.world);
  routeToPods(world);
  attach(resolverHost, world, 'resolver', addresses.nodeResolver, addresses.world);
  for (const [address, length] of [
    [addresses.otherResolver.v4, 32],
    [addresses.otherResolver.v6, 128],
  ] as const) {
    resolverHost.ip('address', 'add', `${address}/${length}`, 'dev', 'eth0');
    world.ip('route', 'add', address, 'dev', 'resolver');
  }
  attach(farDnsPod, world, 'far', addresses.farDns, addresses.world);
  attach(nearDnsPod, node, 'near', addresses.nearDns, addresses.podGateway);
  for (const [number, pod] of pods.entries()) {
    attach(pod, node, `pod${number}`, podAddresses(number), addresses.podGateway);
  }
  const namespaces = [node, resolverHost, nearDnsPod, farDnsPod, ...pods];
  return { cluster, node, resolverHost, pods, nearDnsPod, farDnsPod, namespaces };
}

interface Servers {
  nearDns: ClusterDns;
  farDns: ClusterDns;
  nodeResolver: ClusterDns;
  otherResolver: ClusterDns;
}

async function startServers({ cluster, resolverHost, nearDnsPod, farDnsPod }: Network): Promise<Servers> {
  const start = (name: string, namespace: Namespace, { v4, v6 }: Addresses, zones: object, plain = false) =>
    ClusterDns.start(cluster, {
      ...{ name, namespace, plain, address: v4, address6: v6, published: false },
      extraZones: { ...zones },
    });
  const clusterZones = {
    example: everyName(answerOf.clusterDns),
    'brief.example': everyName(answerOf.clusterDns, 1),
    '.': `forward . ${addresses.nodeResolver.v4}`,
  };
  const [nearDns, farDns, nodeResolver, otherResolver] = await Promise.all([
    start('near-dns', nearDnsPod, addresses.nearDns, clusterZones),
    start('far-dns', farDnsPod, addresses.farDns, clusterZones),
    start('node-resolver', resolverHost, addresses.nodeResolver, { '.': everyName(answerOf.nodeResolver) }, true),
    start('other-resolver', resolverHost, addresses.otherResolver, { '.': everyName(answerOf.otherResolver) }, true),
  ]);
  return { nearDns, farDns, nodeResolver, otherResolver };
}

async function addNode(cluster: ControlPlane): Promise<void> {
  const labels = { 'kubernetes.io/os': 'linux' };
  await cluster.applyOk([{ apiVersion: 'v1', kind: 'Node', metadata: { name: nodeName, labels } }]);
  // kube-proxy serves the families of the addresses that the node reports.
  const status = { addresses: Object.values(addresses.node).map((address) => ({ type: 'InternalIP', address })) };
  const patch = ['--subresource=status', '--type=merge', '-p', JSON.stringify({ status })];
  await cluster.kubectlOk('patch', `node/${nodeName}`, ...patch);
}
