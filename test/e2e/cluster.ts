import { join } from 'node:path';
import { ClusterDns, clusterDnsServiceAddress, everyName } from '../cluster/cluster-dns.ts';
import { ControlPlane, withNodes } from '../cluster/control-plane.ts';
import { Namespace } from '../cluster/namespace.ts';
import type { ProxyMode } from '../datapath/kube-proxy.ts';
import { answerOf } from '../datapath/lab.ts';
import { addresses, attach, makeRouter } from '../datapath/network.ts';
import { eventually } from '../tools/eventually.ts';
import { toolPath } from '../tools/find.ts';
import { type Image, writeImage } from '../tools/image/image.ts';
import { pauseProgram } from '../tools/image/pause.ts';
import { clusterDnsDeployment, clusterDnsObjects } from './cluster-dns-pods.ts';
import { ClusterNode } from './node.ts';
import { Pod } from './pod.ts';

export interface RealClusterOptions {
  nodes?: number;
  proxyMode?: ProxyMode;
  /** Called with what has been reached. */
  say?: (what: string) => void;
}

const startMs = 60_000;

/**
 * A cluster in which nothing is simulated: etcd, API server, controllers, scheduler, and nodes with containerd, kubelet and kube-proxy,
 * on which CoreDNS runs as pods. All of it is in namespaces of its own; the machine's network has no part in it.
 */
export class RealCluster {
  readonly control = new ControlPlane('real');
  readonly proxyMode: ProxyMode;
  /** In the names of images that nobody can pull: nodes have them. */
  readonly registry = 'localdns.test';
  readonly #options: RealClusterOptions;
  #nodes: ClusterNode[] = [];
  #pods: Pod[] = [];
  #resolverHost: Namespace | undefined;

  private constructor(options: RealClusterOptions) {
    this.#options = options;
    this.proxyMode = options.proxyMode ?? 'nftables';
  }

  /** Returns when a pod would be answered by cluster DNS. */
  static async start(options: RealClusterOptions = {}): Promise<RealCluster> {
    const cluster = new RealCluster(options);
    try {
      await cluster.#start();
      return cluster;
    } catch (error) {
      for (const node of cluster.#nodes) console.log(node.lastWords);
      await cluster.stop();
      throw error;
    }
  }

  get nodes(): readonly ClusterNode[] {
    return this.#nodes;
  }

  /** By its number, from 1 on. */
  node(number: number): ClusterNode {
    const node = this.#nodes[number - 1];
    if (node === undefined) throw new Error(`this cluster has no node ${number}`);
    return node;
  }

  /** A pod that does nothing, in whose network a test can ask. */
  async addPod(name: string, node: ClusterNode): Promise<Pod> {
    const pod = await Pod.start(this.control, name, node, this.pauseImage);
    this.#pods.push(pod);
    return pod;
  }

  /** What a pod has become that kubelet started anew. */
  async findPod({ name, node, network }: Pod): Promise<Pod> {
    const pod = await Pod.find(this.control, name, node);
    await network.close();
    this.#pods = [...this.#pods.filter((one) => one.name !== name), pod];
    return pod;
  }

  get pauseImage(): string {
    return `${this.registry}/pause:1`;
  }

  get clusterDnsImage(): string {
    return `${this.registry}/coredns:1`;
  }

  /** Leaves nothing: no process, no namespace, no mount, no control group, no file. */
  async stop(): Promise<void> {
    const networks = [...this.#pods.map(({ network }) => network), this.#resolverHost];
    await Promise.all([...networks, ...this.#nodes].map((one) => one?.close()));
    await this.control.stop();
  }

  async #start(): Promise<void> {
    const { nodes = 2, say = () => undefined } = this.#options;
    const { control } = this;
    const images = this.#makeImages();
    makeRouter(control.namespace);
    const options = { proxyMode: this.proxyMode, images, pauseImage: this.pauseImage };
    this.#nodes = Array.from(
      { length: nodes },
      (_, index) => new ClusterNode(control, { ...options, number: index + 1 }),
    );
    say('network and images');
    const booted = this.#nodes.map(async (node) => {
      await node.boot();
      say(`${node.name}: containerd has its images`);
    });
    await Promise.all([...booted, control.start({ kubelets: true, niceness: 10 }).then(() => say('API server'))]);
    await Promise.all([
      control.startControllers(withNodes),
      control.startScheduler(),
      this.#startNodeResolver(),
      ...this.#nodes.map((node) => node.join()),
      control.applyOk(clusterDnsObjects(this.clusterDnsImage, nodes)),
    ]);
    say('controllers, scheduler, kubelets');
    const [namespace = '', deployment] = clusterDnsDeployment.split('/');
    await eventually('cluster DNS runs', startMs, async () => {
      const { code } = await control.kubectl(
        '-n',
        namespace,
        'rollout',
        'status',
        `deployment/${deployment}`,
        '--timeout=10s',
      );
      return code === 0;
    });
    say('cluster DNS');
    await this.untilAnswered();
    say('cluster DNS answers on every node');
  }

  /** Every node leads the Service of cluster DNS to it. */
  async untilAnswered(): Promise<void> {
    await Promise.all(
      this.#nodes.map((node) =>
        eventually(`${node.name} leads to cluster DNS`, startMs, async () => {
          const question = {
            server: clusterDnsServiceAddress,
            name: 'kubernetes.default.svc.cluster.local',
            timeoutMs: 500,
          };
          return (await node.network.ask(question)).answers.length > 0;
        }),
      ),
    );
  }

  #makeImages(): Image[] {
    const folder = this.control.makeFolder('images');
    return [
      writeImage(join(folder, 'pause.tar'), this.pauseImage, { Entrypoint: ['/pause'] }, [
        { path: 'pause', mode: 0o755, content: pauseProgram() },
      ]),
      writeImage(join(folder, 'coredns.tar'), this.clusterDnsImage, { Entrypoint: ['/coredns'] }, [
        { path: 'coredns', mode: 0o755, source: toolPath('coredns') },
      ]),
    ];
  }

  /** Where nodes ask, and cluster DNS for what is not the cluster's. */
  async #startNodeResolver(): Promise<void> {
    const host = new Namespace(this.control.folder, 'resolver');
    this.#resolverHost = host;
    attach(host, this.control.namespace, 'resolver', addresses.nodeResolver, addresses.world);
    await ClusterDns.start(this.control, {
      ...{ name: 'node-resolver', namespace: host, plain: true, published: false },
      ...{ address: addresses.nodeResolver.v4, extraZones: { '.': everyName(answerOf.nodeResolver) } },
    });
  }
}
