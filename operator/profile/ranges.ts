/** Networks in which the cluster itself gives addresses away: of them its DNS knows names. */
import { isIPv4 } from 'node:net';
import { canonicalAddress } from '../../api/v1alpha1/address.ts';
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

type Bits = Readonly<Record<4 | 6, number>>;

/** Sorted, without repetition. */
export function clusterRanges(
  serviceCidrs: Iterable<readonly string[]>,
  nodes: Iterable<Pick<NodeFacts, 'podCIDRs'>>,
  clusterDnsAddresses: readonly string[],
): string[] {
  const given = [...serviceCidrs].flat();
  const ofServices =
    given.length > 0
      ? given.map((cidr) => widened(cidr, { 4: 32, 6: 128 }))
      : clusterDnsAddresses.map((address) => widened(`${address}/128`, serviceBits));
  const ofPods = [...nodes].flatMap(({ podCIDRs }) => ofNode(podCIDRs));
  return [...new Set([...ofServices, ...ofPods])].sort();
}

/** Each node's are asked for at every look at the world, and do not change. */
const known = new WeakMap<readonly string[], readonly string[]>();

function ofNode(podCIDRs: readonly string[]): readonly string[] {
  let found = known.get(podCIDRs);
  if (found === undefined) {
    found = podCIDRs.map((cidr) => widened(cidr, podBits));
    known.set(podCIDRs, found);
  }
  return found;
}

/** The network with at most so many bits, in canonical form. */
function widened(cidr: string, most: Bits): string {
  const [address = '', bitsText = ''] = cidr.split('/');
  const family = isIPv4(address) ? 4 : 6;
  const bits = Math.min(Number(bitsText), most[family]);
  const [unit, separator, radix] = family === 4 ? ([8, '.', 10] as const) : ([16, ':', 16] as const);
  const parts = family === 4 ? address.split('.').map(Number) : groupsOf(address);
  const kept = parts.map((part, at) => {
    const free = Math.min(unit, Math.max(0, (at + 1) * unit - bits));
    return Math.floor(part / 2 ** free) * 2 ** free;
  });
  return `${canonicalAddress(kept.map((part) => part.toString(radix)).join(separator))}/${bits}`;
}

function groupsOf(address: string): number[] {
  const [head = '', tail] = canonicalAddress(address).split('::');
  const before = head === '' ? [] : head.split(':');
  const behind = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - before.length - behind.length }, () => '0');
  return [...before, ...(tail === undefined ? [] : zeros), ...behind].map((group) => Number.parseInt(group, 16));
}
