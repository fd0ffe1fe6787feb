/** The ready endpoints of the cluster DNS Service: what ClusterCoreDNS means. */
import { dnsPort, formatEndpoint } from '../../api/v1alpha1/address.ts';
import { serviceNameLabel } from '../../api/v1alpha1/labels.ts';
import type { KubeClient } from '../../kube/client.ts';
import { ENDPOINT_SLICES, type KubeObject } from '../../kube/resource.ts';
import { Store, type Trouble } from '../../kube/store.ts';

/** discovery.k8s.io/v1 EndpointSlice, as far as it is read here. */
export interface EndpointSlice extends KubeObject {
  readonly addressType: string;
  readonly endpoints?: readonly {
    readonly addresses: readonly string[];
    readonly conditions?: { readonly ready?: boolean };
  }[];
  readonly ports?: readonly { readonly name?: string; readonly port?: number; readonly protocol?: string }[];
}

/** `ip:port` of each ready endpoint, sorted. `ready` absent means ready (discovery.k8s.io/v1, EndpointConditions). */
export function readyEndpoints(slices: Iterable<EndpointSlice>): string[] {
  const found = new Set<string>();
  for (const { addressType, endpoints, ports } of slices) {
    if (addressType === 'FQDN') continue;
    const port = portOf(ports ?? []);
    for (const { addresses, conditions } of endpoints ?? []) {
      if (conditions?.ready === false) continue;
      for (const address of addresses) found.add(formatEndpoint({ address, port }));
    }
  }
  return [...found].sort();
}

/** Their order says nothing, and metrics are TCP as well: the port by its usual name, or else one that is served over UDP. */
function portOf(ports: NonNullable<EndpointSlice['ports']>): number {
  const found =
    ports.find(({ name }) => name === 'dns-tcp') ?? ports.find(({ protocol }) => protocol === 'UDP') ?? ports[0];
  return found?.port ?? dnsPort;
}

export interface ServiceName {
  namespace: string;
  service: string;
}

/** Follows the EndpointSlices of one Service. */
export class ClusterDns {
  readonly #store: Store<EndpointSlice, EndpointSlice>;

  constructor(
    client: KubeClient,
    { namespace, service }: ServiceName,
    onEndpoints: (endpoints: string[]) => void,
    onTrouble: (trouble: Trouble | undefined) => void,
  ) {
    this.#store = new Store({
      client,
      resource: ENDPOINT_SLICES,
      namespace,
      labelSelector: `${serviceNameLabel}=${service}`,
      keep: ({ metadata, addressType, endpoints, ports }) => ({
        metadata: { name: metadata.name },
        addressType,
        ...(endpoints && { endpoints }),
        ...(ports && { ports }),
      }),
      onTrouble,
    });
    const tell = () => onEndpoints(readyEndpoints(this.#store.list()));
    this.#store.onChange(tell);
  }

  start(): void {
    this.#store.start();
  }

  stop(): Promise<void> {
    return this.#store.stop();
  }
}
