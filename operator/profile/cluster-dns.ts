import { clusterDnsLabel } from '../../api/v1alpha1/labels.ts';
import { kubeAddress } from '../../api/v1alpha1/network.ts';
import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import type { KubeObject } from '../../kube/resource.ts';

/** The cluster DNS Service, as the rendered configuration names it. */
export type ClusterDns = NodeConfig['clusterDNS'];

/** What is retained of a Service. */
export interface ServiceFacts {
  readonly namespace: string;
  readonly name: string;
  readonly createdAt: string;
  readonly clusterIPs: readonly string[];
  /** The labels of its pods. */
  readonly selector: Readonly<Record<string, string>>;
}

/** core/v1 Service, as far as it is read here. */
export interface Service extends KubeObject {
  readonly spec?: {
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly selector?: Readonly<Record<string, string>>;
  };
}

export function serviceFacts({ metadata, spec }: Service): ServiceFacts {
  const addresses = spec?.clusterIPs ?? (spec?.clusterIP === undefined ? [] : [spec.clusterIP]);
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    createdAt: metadata.creationTimestamp ?? '',
    // A headless Service has the word None where others have addresses: its endpoints are all there is.
    clusterIPs: addresses.flatMap((address) => kubeAddress(address) ?? []),
    // One without a selector has its endpoints from elsewhere: they are likely to be named as everywhere.
    selector: spec?.selector ?? { [clusterDnsLabel.key]: clusterDnsLabel.value },
  };
}

/** A Service named by option: `--cluster-dns-service NAMESPACE/NAME`. */
export interface ServiceName {
  readonly namespace: string;
  readonly name: string;
}

/** Where clusters keep their DNS when nobody says otherwise, and how most of them name it. */
export const conventional: ServiceName = { namespace: 'kube-system', name: 'kube-dns' };

/**
 * Which of the Services found is the cluster's DNS: the one named kube-dns (every distribution keeps that name for the
 * kubelets' sake), else the oldest. Undefined where there is none.
 */
export function chooseClusterDns(services: Iterable<ServiceFacts>): ClusterDns | undefined {
  const [chosen] = [...services].sort(
    (a, b) =>
      Number(b.name === conventional.name) - Number(a.name === conventional.name) ||
      compare(a.createdAt, b.createdAt) ||
      compare(a.name, b.name),
  );
  if (chosen === undefined) return undefined;
  return { namespace: chosen.namespace, service: chosen.name, addresses: [...chosen.clusterIPs] };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
