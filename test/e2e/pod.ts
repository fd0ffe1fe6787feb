import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ControlPlane } from '../cluster/control-plane.ts';
import type { Namespace } from '../cluster/namespace.ts';
import type { ClusterNode } from './node.ts';

/** The name of its only container. */
const container = 'pause';

/** A pod that does nothing: tests ask in its network. */
export class Pod {
  readonly name: string;
  readonly node: ClusterNode;
  readonly address: string;
  /** From outside. */
  readonly network: Namespace;

  private constructor(name: string, node: ClusterNode, address: string) {
    this.name = name;
    this.node = node;
    this.address = address;
    this.network = node.networkOfPod(name);
  }

  /** It is there once kubelet has started it. */
  static async start(cluster: ControlPlane, name: string, node: ClusterNode, image: string): Promise<Pod> {
    const spec = {
      ...{ nodeName: node.name, terminationGracePeriodSeconds: 0 },
      containers: [{ name: container, image, imagePullPolicy: 'Never' }],
    };
    await cluster.applyOk([{ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec }]);
    await cluster.kubectlOk('wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s');
    return Pod.find(cluster, name, node);
  }

  /** Where kubelet has started it anew, its network is another one. */
  static async find(cluster: ControlPlane, name: string, node: ClusterNode): Promise<Pod> {
    const { status } = (await cluster.get<{ status: { podIP?: string } }>(`pods/${name}`)) ?? {};
    if (status?.podIP === undefined) throw new Error(`${name} has no address`);
    return new Pod(name, node, status.podIP);
  }

  /** A file as its container sees it. */
  read(path: string): string {
    return readFileSync(join(this.node.rootOfPod(this.name, container), path), 'utf8');
  }
}
