/** What shall be intercepted for a configuration, and where queries go while nobody answers. Pure. */
import { dnsPort, isV6Address, parseEndpoint } from '../../api/v1alpha1/address.ts';
import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import type { ListenAddresses, ListenerName } from '../listen/listeners.ts';
import { type Family, familyOf } from './family.ts';
import { fallbackSlots } from './ruleset.ts';

export interface PlanFacts {
  /** `ip:port` each. */
  clusterDns: readonly string[];
  nodeDns: readonly string[];
  /** Listeners whose addresses are given by option: served as they are, without the datapath. */
  given: ReadonlySet<ListenerName>;
  /** IPv6 addresses are left out where the node has none. */
  ipv6: boolean;
  /** What cannot be intercepted on this node, and so is not listened on. */
  barred: ReadonlySet<string>;
}

/** One address that the datapath brings to the agent. */
export interface PlannedAddress {
  listener: ListenerName;
  address: string;
  /** One of the configuration's own: nobody else answers there, so it needs a fallback. */
  own: boolean;
  tracked: boolean;
}

export interface Server {
  address: string;
  port: number;
}

export interface DatapathPlan {
  addresses: readonly PlannedAddress[];
  /** Where queries to the own addresses of each listener go while no agent answers. */
  backends: Record<ListenerName, readonly Server[]>;
  /** Their packets are left alone. */
  clusterDns: readonly string[];
}

export function planDatapath(config: NodeConfig, facts: PlanFacts): DatapathPlan {
  const clusterDns = servers(facts.clusterDns);
  const nodeDns = servers(facts.nodeDns).filter(({ address }) => !isLoopback(address));
  const planned = new Map<string, PlannedAddress>();
  for (const { name, addresses, intercept, tracked } of config.listeners) {
    if (facts.given.has(name)) continue;
    const add = (own: boolean) => (address: string) => {
      // What two listeners want belongs to the first: cluster DNS before the node's resolvers.
      if (planned.has(address) || facts.barred.has(address) || (isV6Address(address) && !facts.ipv6)) return;
      planned.set(address, { listener: name, address, own, tracked });
    };
    addresses.forEach(add(true));
    if (intercept) interceptedBy(name, config, nodeDns).forEach(add(false));
  }
  const own = new Set([...planned.values()].filter((address) => address.own).map(({ address }) => address));
  const elsewhere = (candidates: readonly Server[]) => candidates.filter(({ address }) => !own.has(address));
  return {
    addresses: [...planned.values()],
    backends: {
      // The Service's own address would need a second rewriting, which the kernel does not do: endpoints, or nothing.
      cluster: elsewhere(endpointsOnly(clusterDns, config)),
      node: elsewhere([...nodeDns, ...(nodeDns.length === 0 ? endpointsOnly(clusterDns, config) : [])]),
    },
    clusterDns: endpointsOnly(clusterDns, config).map(({ address }) => address),
  };
}

/** Where the agent listens: the plan's addresses, which are on no interface, and those given by option as they are. */
export function listenAddresses({ addresses }: DatapathPlan, given: ListenAddresses): ListenAddresses {
  const listen: ListenAddresses = { ...given };
  for (const { listener, address } of addresses) {
    listen[listener] = [...(listen[listener] ?? []), { address, port: dnsPort, transparent: true }];
  }
  return listen;
}

/** The plan's part for one family; at most as many backends as there are slots. */
export function ofFamily(plan: DatapathPlan, family: Family) {
  const addresses = plan.addresses.filter(({ address }) => familyOf(address) === family);
  const own = (name: ListenerName) =>
    addresses.filter((at) => at.own && at.listener === name).map(({ address }) => address);
  const backends = (name: ListenerName) =>
    plan.backends[name].filter(({ address }) => familyOf(address) === family).slice(0, fallbackSlots);
  return {
    served: addresses.map(({ address }) => address),
    tracked: addresses.filter(({ tracked }) => tracked).map(({ address }) => address),
    clusterDns: plan.clusterDns.filter((address) => familyOf(address) === family),
    fallback: {
      cluster: { addresses: own('cluster'), backends: backends('cluster') },
      node: { addresses: own('node'), backends: backends('node') },
      untracked: addresses.filter(({ tracked }) => !tracked).map(({ address }) => address),
    },
  };
}

function interceptedBy(name: ListenerName, config: NodeConfig, nodeDns: readonly Server[]): string[] {
  if (name === 'cluster') return config.clusterDNS.addresses;
  // Only what is asked on the usual port looks like DNS to the rules.
  return nodeDns.filter(({ port }) => port === dnsPort).map(({ address }) => address);
}

function endpointsOnly(clusterDns: readonly Server[], { clusterDNS }: NodeConfig): Server[] {
  return clusterDns.filter(({ address }) => !clusterDNS.addresses.includes(address));
}

function servers(texts: readonly string[]): Server[] {
  return texts.flatMap((text) => parseEndpoint(text) ?? []);
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}
