import { resolve } from 'node:path';
import type { Condition } from '../../api/v1alpha1/conditions.ts';
import { apiVersion, profileLabel } from '../../api/v1alpha1/labels.ts';
import type { Namespace } from '../cluster/namespace.ts';
import { isTrue, type LocalDnsNode, type LocalDnsProfile, pause } from '../cluster/scene.ts';
import type { ProxyMode } from '../datapath/kube-proxy.ts';
import { serviceAddresses } from '../datapath/lab.ts';
import { addresses } from '../datapath/network.ts';
import type { Ground } from '../datapath/ordeal.ts';
import { answeredByAgent, bothKinds } from '../datapath/served-lab.ts';
import { Traffic } from '../datapath/traffic.ts';
import { eventually } from '../tools/eventually.ts';
import type { Image } from '../tools/image/image.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { RealCluster } from './cluster.ts';
import type { Container } from './containers.ts';
import { localDnsImage } from './localdns-image.ts';
import type { ClusterNode } from './node.ts';
import type { Pod } from './pod.ts';

const chart = resolve(import.meta.dirname, '../../charts/localdns');
export const system = 'localdns-system';
const release = ['localdns', chart, '-n', system] as const;
/** Until a node's pods are answered by its agent. */
const servedMs = 60_000;
/** A rollout does not let a test wait: how it is judged is the operator's own tests' matter. */
export const brisk = { canary: { nodes: 1, soakSeconds: 1 } };

/** A real cluster, pods that ask in it, and LocalDNS as people install it. */
export class ServedCluster implements Ground {
  readonly cluster: RealCluster;
  readonly image: Image;
  /** On the node that is served. */
  clients: readonly Pod[];
  /** On the other one, where there is one. */
  readonly others: readonly Pod[];
  readonly #images: RunFolder;

  private constructor(cluster: RealCluster, images: RunFolder, image: Image, clients: Pod[], others: Pod[]) {
    this.cluster = cluster;
    this.#images = images;
    this.image = image;
    this.clients = clients;
    this.others = others;
  }

  /** LocalDNS is not yet installed, nor is its image on the nodes. */
  static async start(proxyMode: ProxyMode): Promise<ServedCluster> {
    const images = new RunFolder('image');
    const building = localDnsImage(images.path);
    // Who waits for it hears of its failure, and that may be later.
    building.catch(() => undefined);
    const cluster = await RealCluster.start({ proxyMode, nodes: Number(process.env.LOCALDNS_E2E_NODES ?? 2) });
    try {
      const clients = await Promise.all(['client-1', 'client-2'].map((name) => cluster.addPod(name, cluster.node(1))));
      const others = await Promise.all(
        cluster.nodes.slice(1).map((node) => cluster.addPod(`other-${node.name}`, node)),
      );
      return new ServedCluster(cluster, images, await building, clients, others);
    } catch (error) {
      await cluster.stop();
      await images.remove();
      throw error;
    }
  }

  /** The network of the node that is served. */
  get node(): Namespace {
    return this.servedNode.network;
  }

  get servedNode(): ClusterNode {
    return this.cluster.node(1);
  }

  get bystander() {
    return { from: this.cluster.control.namespace, server: addresses.nodeResolver.v4 };
  }

  addressesOf(client: Namespace): string[] {
    return [...this.clients, ...this.others].filter(({ network }) => network === client).map(({ address }) => address);
  }

  /** As a registry would have it for whoever pulls it. */
  async importImage(image = this.image): Promise<void> {
    await Promise.all(this.cluster.nodes.map((node) => node.importImage(image)));
  }

  /** `helm install`, or `helm upgrade` where it is installed. */
  async install(image = this.image, ...values: readonly string[]): Promise<void> {
    const [, repository, tag] = /^(.*):(.*)$/.exec(image.name) ?? [];
    const set = [`image.repository=${repository}`, `image.tag=${tag}`, 'image.pullPolicy=Never', ...values];
    const args = ['upgrade', '--install', ...release, '--create-namespace', '--set', set.join()];
    const { code, stderr } = await this.cluster.control.helm(...args);
    if (code !== 0) throw new Error(`helm: ${stderr}`);
  }

  async uninstall(): Promise<void> {
    const { code, stderr } = await this.cluster.control.helm('uninstall', 'localdns', '-n', system, '--wait');
    if (code !== 0) throw new Error(`helm uninstall: ${stderr}`);
  }

  /** Whatever of LocalDNS there is, the way in which its documents say it. */
  async remove(): Promise<void> {
    const { control } = this.cluster;
    const { stdout } = await control.helm('list', '-n', system, '-q');
    if (stdout.trim() !== '') await this.uninstall();
    // They outlive it. There is no such kind before the first installation.
    await control.kubectl('delete', 'ldp', '--all', '--timeout=10s');
    await Promise.all(this.cluster.nodes.map((node) => this.label(undefined, node)));
  }

  async applyProfile(spec: object = {}, name = 'default'): Promise<void> {
    const profile = { apiVersion, kind: 'LocalDnsProfile', metadata: { name }, spec: { rollout: brisk, ...spec } };
    await this.cluster.control.applyOk([profile]);
  }

  async label(value: string | undefined, node = this.servedNode): Promise<void> {
    const change = value === undefined ? `${profileLabel}-` : `${profileLabel}=${value}`;
    await this.cluster.control.kubectlOk('label', '--overwrite', `node/${node.name}`, change);
  }

  /** Installed, with a plain profile, its image on the nodes; whatever was done before. */
  async serve(): Promise<void> {
    await this.importImage();
    await this.install();
    await this.applyProfile();
    await this.label('default');
    await this.untilServed();
    // What an event costs is to be seen, and not how the first queries of a process find its code.
    const traffic = await Traffic.start({ from: this.networks, servers: bothKinds });
    await pause(500);
    await traffic.stop();
  }

  async setProxyMode(mode: ProxyMode): Promise<void> {
    await Promise.all(this.cluster.nodes.map((node) => node.setProxyMode(mode)));
    await this.cluster.untilAnswered();
  }

  /** Another agent in the place of the one that serves, in a pod of its own. */
  async replaceAgent(node = this.servedNode): Promise<void> {
    const pods = this.agents(node).map(({ pod }) => pod);
    const ofNode = ['-l', 'app.kubernetes.io/component=agent', `--field-selector=spec.nodeName=${node.name}`];
    await this.cluster.control.kubectlOk('-n', system, 'delete', 'pods', ...ofNode);
    await eventually('another agent runs', servedMs, () => {
      const agents = this.agents(node);
      return agents.length === 1 && agents.every(({ pod }) => !pods.includes(pod));
    });
    await this.untilServed();
  }

  /** Until the agent of its node answers every client. */
  async untilServed(clients: readonly Pod[] = this.clients): Promise<void> {
    await eventually('the agent answers every client', servedMs, async () => {
      const answers = await Promise.all(clients.map((client) => this.isServed(client)));
      return answers.every((isServed) => isServed);
    });
  }

  /** Those that kubelet has started anew, in the place of what they were. */
  async findClients(): Promise<true> {
    this.clients = await Promise.all(this.clients.map((client) => this.cluster.findPod(client)));
    return true;
  }

  isServed({ network, node }: Pod, transport: 'udp' | 'tcp' = 'udp'): Promise<boolean> {
    return answeredByAgent(network, serviceAddresses.v4, transport, node.name);
  }

  get networks(): Namespace[] {
    return this.clients.map(({ network }) => network);
  }

  async localDnsNode(node = this.servedNode): Promise<LocalDnsNode | undefined> {
    return this.cluster.control.get<LocalDnsNode>(`ldn/${node.name}`);
  }

  async condition(type: string, node = this.servedNode): Promise<Condition | undefined> {
    const { status } = (await this.localDnsNode(node)) ?? {};
    return status?.conditions?.find((condition) => condition.type === type);
  }

  async profile(name = 'default'): Promise<LocalDnsProfile | undefined> {
    return this.cluster.control.get<LocalDnsProfile>(`ldp/${name}`);
  }

  async isProgrammed(name = 'default'): Promise<boolean> {
    const { metadata, status } = (await this.profile(name)) ?? {};
    return status?.observedGeneration === metadata?.generation && isTrue(status?.conditions, 'Programmed');
  }

  /** The agents' containers on a node: two while one takes over from the other. */
  agents(node = this.servedNode): Container[] {
    return node.containers.filter(({ namespace, name }) => namespace === system && name === 'agent');
  }

  /** What its HTTP server says, as a scraper asks it. */
  async agentPage(page: string, node = this.servedNode): Promise<string> {
    const { body } = await this.cluster.control.namespace.page({ url: `http://${node.address}:9353/${page}` });
    return body;
  }

  /** What the agents and operators said last: for the reader of a test that failed. */
  async lastWords(): Promise<string> {
    const logs = ['daemonset/localdns-agent', 'deployment/localdns-operator'].map((what) =>
      this.cluster.control.kubectl('-n', system, 'logs', what, '--tail=25', '--all-pods', '--prefix'),
    );
    const pods = this.cluster.control.kubectl('get', 'pods', '-A', '-o', 'wide');
    return (await Promise.all([pods, ...logs])).map(({ stdout, stderr }) => stdout + stderr).join('\n');
  }

  async stop(): Promise<void> {
    await this.cluster.stop();
    await this.#images.remove();
  }
}
