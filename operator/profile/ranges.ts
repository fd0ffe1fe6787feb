/** Networks in which the cluster itself gives addresses away: of them its DNS knows names. */
import { formatNetwork, kubeNetwork, type Network, widened } from '../../api/v1alpha1/network.ts';
import type { KubeObject } from '../../kube/resource.ts';
import type { NodeFacts } from './facts.ts';

/** networking.k8s.io/v1 ServiceCIDR, as far as it is read here. */
export interface ServiceCidr extends KubeObject {
  readonly spec?: { readonly cidrs?: readonly string[] };
}

/**
 * A node's own part of the pods' network is not told apart from the rest, or each new node would change what all nodes are given:
 * /16 and /48 are what networks of pods are cut from.
 */
const podBits = { 4: 16, 6: 48 } as const;

/** Without ServiceCIDR objects (before Kubernetes 1.33) the address of cluster DNS is all there is: as wide as networks of Services are. */
const serviceBits = { 4: 12, 6: 108 } as const;

/**
 * Fewer bits than the widest of the private networks has (10.0.0.0/8, fc00::/7), and it is none that pods are in: one Node that says so
 * would take all names of addresses out of what is kept from the upstreams, on all nodes.
 */
const leastPodBits = { 4: 8, 6: 7 } as const;

type Bits = Readonly<Record<Network['family'], number>>;

/** Sorted, without repetition. */
export function clusterRanges(
  serviceCidrs: Iterable<readonly string[]>,
  nodes: Iterable<Pick<NodeFacts, 'podCIDRs'>>,
  clusterDnsAddresses: readonly string[],
): string[] {
  const given = [...serviceCidrs].flat();
  const ofServices =
    given.length > 0
      ? given.flatMap((cidr) => written(cidr))
      : clusterDnsAddresses.flatMap((address) =>
          written(`${address}/${address.includes(':') ? 128 : 32}`, serviceBits),
        );
  const ofPods = [...nodes].flatMap(({ podCIDRs }) => ofNode(podCIDRs));
  return [...new Set([...ofServices, ...ofPods])].sort();
}

/** Each node's are asked for at every look at the world, and do not change. */
const known = new WeakMap<readonly string[], readonly string[]>();

function ofNode(podCIDRs: readonly string[]): readonly string[] {
  let found = known.get(podCIDRs);
  if (found === undefined) {
    found = podCIDRs.flatMap((cidr) => written(cidr, podBits, leastPodBits));
    known.set(podCIDRs, found);
  }
  return found;
}

/** The network of at most so many bits, in canonical form; nothing where there is no such network. */
function written(cidr: string, most: Bits = { 4: 32, 6: 128 }, least: Bits = { 4: 0, 6: 0 }): string[] {
  const network = kubeNetwork(cidr);
  if (network === undefined || network.bits < least[network.family]) return [];
  return [formatNetwork(widened(network, most[network.family]))];
}
