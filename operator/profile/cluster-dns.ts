import { dnsPort } from '../../api/v1alpha1/address.ts';
import { clusterDnsLabel } from '../../api/v1alpha1/labels.ts';
import { kubeAddress } from '../../api/v1alpha1/network.ts';
import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import type { EndpointPort } from '../../kube/endpoint-slice.ts';
import type { KubeObject } from '../../kube/resource.ts';
import type { DnsPods, PodPorts, Protocol } from './network-policies.ts';

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
  /** Those that are asked for DNS. */
  readonly dnsPorts: readonly ServicePort[];
}

export interface ServicePort {
  readonly name?: string;
  readonly protocol?: string;
  readonly port: number;
  /** The number of a pod's port, or its name. */
  readonly targetPort?: number | string;
}

/** core/v1 Service, as far as it is read here. */
export interface Service extends KubeObject {
  readonly spec?: {
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly selector?: Readonly<Record<string, string>>;
    readonly ports?: readonly ServicePort[];
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
    dnsPorts: (spec?.ports ?? []).flatMap(({ name = '', protocol = 'TCP', port, targetPort = port }) =>
      port === dnsPort ? [{ name, protocol, port, targetPort }] : [],
    ),
  };
}

/** As the pods of cluster DNS name their ports everywhere. */
const portNames = { UDP: 'dns', TCP: 'dns-tcp' } as const;

/**
 * Where the pods of cluster DNS listen: OpenShift's on 5353.
 * @param endpoints the ports of the endpoints of their Service
 */
export function podPorts(
  { dnsPorts }: Pick<ServiceFacts, 'dnsPorts'>,
  endpoints: readonly EndpointPort[],
): DnsPods['ports'] {
  const of = (protocol: Protocol): PodPorts => {
    const own = dnsPorts.filter((port) => port.protocol === protocol);
    const targets = own.map(({ targetPort }) => targetPort);
    const isTheirs = (port: EndpointPort): boolean =>
      (port.protocol ?? 'TCP') === protocol && own.some(({ name }) => name === (port.name ?? ''));
    const found = endpoints.flatMap((endpoint) => (isTheirs(endpoint) ? (endpoint.port ?? []) : []));
    const given = targets.filter((target) => typeof target === 'number');
    const names = targets.filter((target) => typeof target === 'string');
    const numbers = [found, given, [dnsPort]].find(({ length }) => length > 0) ?? [];
    return {
      numbers: [...new Set(numbers)].sort((a, b) => a - b),
      names: names.length > 0 ? names : [portNames[protocol]],
    };
  };
  return { UDP: of('UDP'), TCP: of('TCP') };
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
