import { kubeAddress } from '../api/v1alpha1/network.ts';
import type { KubeObject } from './resource.ts';

/** discovery.k8s.io/v1 EndpointSlice, as far as it is read here. */
export interface EndpointSlice extends KubeObject {
  readonly addressType: string;
  readonly endpoints?: readonly {
    readonly addresses: readonly string[];
    readonly conditions?: { readonly ready?: boolean };
  }[];
  readonly ports?: readonly EndpointPort[];
}

export interface EndpointPort {
  readonly name?: string;
  readonly port?: number;
  readonly protocol?: string;
}

/** What of a slice says where its ready endpoints are. */
export function keptOfSlice({ metadata, addressType, endpoints, ports }: EndpointSlice): EndpointSlice {
  return {
    metadata: { name: metadata.name },
    addressType,
    ...(endpoints && { endpoints }),
    ...(ports && { ports }),
  };
}

/** IP addresses in canonical form; `ready` absent means ready (discovery.k8s.io/v1, EndpointConditions). */
export function readyAddresses({ addressType, endpoints }: EndpointSlice): string[] {
  if (addressType === 'FQDN') return [];
  const ready = (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false);
  return ready.flatMap(({ addresses }) => addresses.flatMap((address) => kubeAddress(address) ?? []));
}
