/** The ready endpoints of the cluster DNS Service: what ClusterCoreDNS means. */
import { dnsPort, formatEndpoint } from '../../api/v1alpha1/address.ts';
import { serviceNameLabel } from '../../api/v1alpha1/labels.ts';
import type { KubeClient } from '../../kube/client.ts';
import { type EndpointSlice, keptOfSlice, readyAddresses } from '../../kube/endpoint-slice.ts';
import { ENDPOINT_SLICES } from '../../kube/resource.ts';
import { Store, type Trouble } from '../../kube/store.ts';

/** `ip:port` of each ready endpoint, sorted. */
export function readyEndpoints(slices: Iterable<EndpointSlice>): string[] {
  const found = new Set<string>();
  for (const slice of slices) {
    const port = portOf(slice.ports ?? []);
    for (const address of readyAddresses(slice)) found.add(formatEndpoint({ address, port }));
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
      keep: keptOfSlice,
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
