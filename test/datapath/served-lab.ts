import type { Condition } from '../../api/v1alpha1/conditions.ts';
import type { Daemon } from '../cluster/daemon.ts';
import type { AgentPlace } from '../cluster/installation.ts';
import type { Namespace } from '../cluster/namespace.ts';
import { isTrue, type LocalDnsNode } from '../cluster/scene.ts';
import { eventually } from '../tools/eventually.ts';
import type { KubeProxy } from './kube-proxy.ts';
import { clusterListeners, type Lab, nodeName, serviceAddresses } from './lab.ts';

/** How long an agent may take from its start to its first query of a pod. */
const startMs = 15_000;

/** A lab whose node is served: the operator runs, a profile is applied, and the agent intercepts. */
export class ServedLab {
  readonly lab: Lab;
  readonly operator: Daemon;
  agent: Daemon;

  private constructor(lab: Lab) {
    this.lab = lab;
    this.operator = lab.startOperator();
    this.agent = lab.startAgent();
  }

  /** In a lab where nothing of ours has run. */
  static async start(lab: Lab): Promise<ServedLab> {
    const served = new ServedLab(lab);
    try {
      await lab.applyProfile({});
      await lab.label('default');
      await served.untilIntercepted();
      return served;
    } catch (error) {
      console.log(served.lastWords);
      throw error;
    }
  }

  /** As at its start, whatever was done to it since. */
  async renew(): Promise<void> {
    if (this.agent.isRunning) await this.agent.stop();
    await this.lab.applyProfile({});
    await this.lab.label('default');
    this.startAgent();
    await this.untilIntercepted();
  }

  startAgent(place: AgentPlace = {}): void {
    this.agent = this.lab.startAgent(place);
  }

  /** Until every pod is answered by the agent at the Service address, in both families. */
  async untilIntercepted(agent = this.agent): Promise<void> {
    await eventually('the agent answers every pod', startMs, async () => {
      agent.assertRunning();
      const answers = await Promise.all(
        this.lab.pods.flatMap((pod) => Object.values(serviceAddresses).map((server) => answeredByAgent(pod, server))),
      );
      return answers.every((isAgent) => isAgent);
    });
  }

  async node(): Promise<LocalDnsNode | undefined> {
    return this.lab.cluster.get<LocalDnsNode>(`ldn/${nodeName}`);
  }

  async condition(type: string): Promise<Condition | undefined> {
    const { status } = (await this.node()) ?? {};
    return status?.conditions?.find((condition) => condition.type === type);
  }

  async isIntercepting(): Promise<boolean> {
    return isTrue((await this.node())?.status?.conditions, 'Intercepting');
  }

  get kubeProxy(): KubeProxy {
    return this.lab.kubeProxy;
  }

  /** What the programs said last: for the reader of a test that failed. */
  get lastWords(): string {
    return `${this.operator.lastWords}\n${this.agent.lastWords}`;
  }
}

/** Whether a client's queries to this address go to the agent: cluster DNS would not say whose node it is. */
export async function answeredByAgent(
  client: Namespace,
  server: string,
  transport: 'udp' | 'tcp' = 'udp',
  ofNode = nodeName,
): Promise<boolean> {
  try {
    const question = { server, transport, name: 'id.server', type: 'TXT', class: 'CH', timeoutMs: 500 } as const;
    const { answers } = await client.ask(question);
    return answers.some(({ data }) => data.startsWith(`${ofNode}/`));
  } catch {
    return false;
  }
}

/** Where clients ask: at the Service address and at our own, in IPv4 or in both families. */
export const bothKinds: readonly string[] = [serviceAddresses.v4, clusterListeners.v4];
export const bothKindsAndFamilies: readonly string[] = [...bothKinds, serviceAddresses.v6, clusterListeners.v6];
