import type { Condition } from '../../api/v1alpha1/conditions.ts';
import { apiVersion } from '../../api/v1alpha1/labels.ts';
import { type ClusterDns, everyName } from './cluster-dns.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import { type AgentPlace, Installation } from './installation.ts';

/** As long as a change may take from the API server to the answers. */
export const promptlyMs = 2_000;

/** The default addresses of a profile's two listeners. */
export const clusterListener = '169.254.10.11';
export const nodeListener = '169.254.10.10';
/** All default addresses. Here they are on the loopback device, since nothing delivers to them without the datapath. */
export const listenAddresses = [clusterListener, nodeListener, 'fdcd:6c64:6e73::11', 'fdcd:6c64:6e73::10'];

export const kubernetes = { name: 'kubernetes.default.svc.cluster.local', address: '10.96.0.1' };
export const corporate = 'www.corp.example';

/** Three servers that answer every name, each with an address of its own: the answer tells who was asked. */
export const answerOf = { clusterDns: '192.0.2.7', nodeResolver: '198.51.100.7', onprem: '203.0.113.7' };
const nodeResolver = '10.240.0.54';
const onprem = '10.240.0.55';

/** A profile's spec that sends one zone elsewhere, and so shows in the answers whether it is in force. */
export const withOnprem = {
  upstreams: [{ name: 'onprem', servers: [onprem] }],
  kubeDNSOverrides: { 'corp.example': { forwardDestination: 'onprem' } },
};

export interface Node {
  metadata: { uid: string; labels?: Record<string, string> };
}

export interface LocalDnsNode {
  metadata: { ownerReferences?: { kind: string; name: string; uid: string }[] };
  spec: { profile: string; revision: string; config: { listeners: { serverBlocks: { zone: string }[] }[] } };
  status?: { appliedRevision?: string; conditions?: Condition[] };
}

export interface LocalDnsProfile {
  metadata: { generation: number };
  status?: { observedGeneration?: number; conditions?: Condition[]; nodes?: Record<string, number> };
}

/** With everything that an operator can be asked to look at. */
export const startWithPolicies = (): Promise<Scene> =>
  Scene.start(['--check-network-policies'], ['operator.checkNetworkPolicies=true']);

export function isTrue(conditions: Condition[] | undefined, type: string): boolean {
  return conditions?.find((condition) => condition.type === type)?.status === 'True';
}

/** A cluster of two nodes with LocalDNS installed: the operator runs, and the agent of the node n1. */
export class Scene {
  readonly cluster: ControlPlane;
  readonly clusterDns: ClusterDns;
  readonly localdns: Installation;
  operator: Daemon;
  agent: Daemon;

  readonly #operatorArgs: readonly string[];

  private constructor(
    cluster: ControlPlane,
    clusterDns: ClusterDns,
    localdns: Installation,
    operatorArgs: readonly string[],
  ) {
    this.cluster = cluster;
    this.#operatorArgs = operatorArgs;
    this.clusterDns = clusterDns;
    this.localdns = localdns;
    this.operator = localdns.startOperator(undefined, { args: operatorArgs });
    this.agent = localdns.startAgent('n1', nodeResolver);
  }

  /** `operatorArgs` are options of the operator beside those that every one is given, `values` are of the chart. */
  static async start(operatorArgs: readonly string[] = [], values: readonly string[] = []): Promise<Scene> {
    const cluster = await startControlPlane();
    try {
      for (const address of listenAddresses) cluster.namespace.addAddress(address);
      const clusterDns = await cluster.startClusterDns({ extraZones: { '.': everyName(answerOf.clusterDns) } });
      for (const [name, address, answer] of [
        ['node-resolver', nodeResolver, answerOf.nodeResolver],
        ['onprem', onprem, answerOf.onprem],
      ] as const) {
        await cluster.startClusterDns({ name, address, published: false, extraZones: { '.': everyName(answer) } });
      }
      const localdns = await Installation.create(cluster, { values });
      const labels = { 'kubernetes.io/os': 'linux' };
      await cluster.applyOk(
        ['n1', 'n2'].map((name) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels } })),
      );
      return new Scene(cluster, clusterDns, localdns, operatorArgs);
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  restartOperator(): void {
    this.operator = this.localdns.startOperator(undefined, { args: this.#operatorArgs });
  }

  restartAgent(place: AgentPlace = {}): void {
    this.agent = this.localdns.startAgent('n1', nodeResolver, undefined, place);
  }

  applyProfile(spec: object, name = 'default'): Promise<void> {
    return this.cluster.applyOk([{ apiVersion, kind: 'LocalDnsProfile', metadata: { name }, spec }]);
  }

  /** Without a value, the label is taken away. */
  async label(node: string, key: string, value?: string): Promise<void> {
    const change = value === undefined ? `${key}-` : `${key}=${value}`;
    await this.cluster.kubectlOk('label', '--overwrite', `node/${node}`, change);
  }

  localDnsNode(name: string): Promise<LocalDnsNode | undefined> {
    return this.cluster.get<LocalDnsNode>(`ldn/${name}`);
  }

  /** The node's configuration, once its agent says that this very revision is in force and served. */
  async applied(name = 'n1'): Promise<LocalDnsNode | undefined> {
    // A program that has died shall say so itself, instead of being waited for.
    this.operator.assertRunning();
    this.agent.assertRunning();
    const node = await this.localDnsNode(name);
    const { appliedRevision, conditions } = node?.status ?? {};
    const isServed = isTrue(conditions, 'ConfigApplied') && isTrue(conditions, 'Serving');
    return isServed && appliedRevision === node?.spec.revision ? node : undefined;
  }

  /** The address that a client with one try is given for a name. */
  async addressOf(server: string, name: string, timeoutMs = 3_000): Promise<string | undefined> {
    const { answers } = await this.cluster.namespace.ask({ server, name, timeoutMs });
    return answers.at(-1)?.data;
  }

  async isSilent(server: string): Promise<boolean> {
    const { code } = await this.cluster.run('dig', ['+tries=1', '+time=1', `@${server}`, kubernetes.name]);
    // dig's word for "no reply from server".
    return code === 9;
  }

  /** The line of `kubectl get`, column by column. */
  async row(kind: string, name: string): Promise<string[]> {
    const [, line = ''] = (await this.cluster.kubectlOk('get', kind, name)).split('\n');
    return line.trim().split(/\s{2,}/);
  }

  /** What both programs said last: for the reader of a test that failed. */
  get lastWords(): string {
    return `${this.operator.lastWords}\n${this.agent.lastWords}`;
  }

  async stop(): Promise<void> {
    await this.cluster.stop();
  }
}

/** Time that must pass, because the test is about something that must not happen in it. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
