import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Condition } from '../../api/v1alpha1/conditions.ts';
import { eventually } from '../tools/eventually.ts';
import type { ControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import type { Page } from './insider.ts';
import type { Namespace } from './namespace.ts';

const root = resolve(import.meta.dirname, '../..');
const system = 'localdns-system';
const operatorMetricsPort = 9354;
const agentMetricsPort = 9353;
const fromSource = [join(root, 'bin/localdns')] as const;
const agentAccount = { serviceAccount: 'localdns-agent', namespace: system };

/** How a program runs, if not by default. */
export interface ProgramPlace {
  /** Of the program, in its log's name: two of them at once have two. */
  name?: string;
  /** What runs, and what stands before its options; from source where it is absent. */
  program?: readonly [command: string, ...before: string[]];
  /** Options beside those that every one is given. */
  args?: readonly string[];
  env?: NodeJS.ProcessEnv;
  metricsPort?: number;
}

export interface AgentPlace extends ProgramPlace {
  /** Where it runs, if not beside the API server. */
  namespace?: Namespace;
}

/**
 * LocalDNS as its chart installs it, roles and ServiceAccounts included. Its programs run as processes of the test,
 * each with a token of its own ServiceAccount, so that a right which the chart forgets is a test that fails.
 */
export class Installation {
  readonly #cluster: ControlPlane;
  readonly #operatorKubeconfig: string;
  readonly #agentKubeconfigs = new Map<string, string>();

  private constructor(cluster: ControlPlane, operatorKubeconfig: string) {
    this.#cluster = cluster;
    this.#operatorKubeconfig = operatorKubeconfig;
  }

  static async create(
    cluster: ControlPlane,
    { crds = true, nodes = ['n1'], values = [] as readonly string[] } = {},
  ): Promise<Installation> {
    const { code, stderr } = await cluster.helm(
      ...['install', 'localdns', join(root, 'charts/localdns'), '-n', system, '--create-namespace'],
      ...['--set', [`crds.enabled=${crds}`, ...values].join()],
    );
    if (code !== 0) throw new Error(`helm install: ${stderr}`);
    if (crds) await established(cluster);
    const operator = await cluster.kubeconfigFor({ serviceAccount: 'localdns-operator', namespace: system });
    const installation = new Installation(cluster, operator);
    for (const node of nodes) {
      installation.#agentKubeconfigs.set(node, await Installation.agentKubeconfig(cluster, node));
    }
    return installation;
  }

  /** With a token as the kubelet of that node gets it for the agent's pod: the API server knows whose it is. */
  static async agentKubeconfig(cluster: ControlPlane, node?: string): Promise<string> {
    const name = `agent-on-${node ?? 'no-node'}`;
    const spec = {
      ...(node !== undefined && { nodeName: node }),
      serviceAccountName: agentAccount.serviceAccount,
      containers: [{ name: 'agent', image: 'none' }],
    };
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: system }, spec };
    const { status, body } = await cluster.post(`/api/v1/namespaces/${system}/pods`, pod);
    if (status !== 201 && status !== 409) throw new Error(`the pod ${name}: ${status} ${body.trim()}`);
    return cluster.kubeconfigFor({ ...agentAccount, pod: name });
  }

  /** What was left out with `crds: false`. */
  static async addCrds(cluster: ControlPlane): Promise<void> {
    await cluster.kubectlOk('apply', '-f', join(root, 'crds'));
    await established(cluster);
  }

  startOperator(kubeconfig = this.#operatorKubeconfig, place: ProgramPlace = {}): Daemon {
    const { name = 'operator', metricsPort = operatorMetricsPort, args = [], env = {} } = place;
    const [command, ...before] = place.program ?? fromSource;
    return this.#cluster.startDaemon({
      name,
      command,
      args: [...before, 'operator', '--kubeconfig', kubeconfig, '--metrics', `127.0.0.1:${metricsPort}`, ...args],
      env,
    });
  }

  /** The agent of a node, whose own resolver is at the given address. Started again, it finds its state of before. */
  startAgent(
    node: string,
    nodeResolver: string,
    kubeconfig = this.#agentKubeconfigs.get(node),
    place: AgentPlace = {},
  ): Daemon {
    if (kubeconfig === undefined) throw new Error(`the agent of ${node} has no token`);
    const { name = `agent-${node}`, namespace, args = [], metricsPort = agentMetricsPort } = place;
    const [command, ...before] = place.program ?? fromSource;
    this.setNodeResolvers(node, [nodeResolver]);
    return this.#cluster.startDaemon(
      {
        name,
        command,
        args: [
          ...before,
          ...['agent', '--kubeconfig', kubeconfig, '--state-dir', this.stateFolder(node)],
          ...['--resolv-conf', this.#resolvConf(node), '--metrics', `127.0.0.1:${metricsPort}`, ...args],
          // Beside the control plane every address is on the loopback device: there is nothing to lead anywhere.
          ...(namespace === undefined ? ['--no-datapath'] : []),
        ],
        env: { NODE_NAME: node, ...place.env },
      },
      namespace,
    );
  }

  /** What the node's resolv.conf says from now on. */
  setNodeResolvers(node: string, addresses: readonly string[]): void {
    writeFileSync(this.#resolvConf(node), addresses.map((address) => `nameserver ${address}\n`).join(''));
  }

  /** A page of the agent's HTTP server: metrics, healthz or readyz. */
  agentPage(page: string): Promise<Page> {
    return this.#cluster.namespace.page({ url: `http://127.0.0.1:${agentMetricsPort}/${page}` });
  }

  stateFolder(node: string): string {
    return join(this.#folderOf(node), 'state');
  }

  #folderOf(node: string): string {
    return this.#cluster.makeFolder(`node-${node}`);
  }

  #resolvConf(node: string): string {
    return join(this.#folderOf(node), 'resolv.conf');
  }
}

async function established(cluster: ControlPlane): Promise<void> {
  for (const kind of ['localdnsprofiles', 'localdnsnodes']) {
    await eventually(`${kind} are served`, 10_000, async () => {
      const { status } =
        (await cluster.get<{ status?: { conditions?: Condition[] } }>(`crd/${kind}.localdns.dev`)) ?? {};
      return status?.conditions?.some(({ type, status: is }) => type === 'Established' && is === 'True');
    });
  }
}
