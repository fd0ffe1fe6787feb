/** All that the preflight judges, gathered beforehand, so that judging is pure. */
import { BlockList } from 'node:net';
import { type Endpoint, isV6Address } from '../../../api/v1alpha1/address.ts';
import type { ListenAddresses } from '../../listen/listeners.ts';
import type { DatapathNames } from '../names.ts';
import type { NftObject } from '../nft.ts';
import { type DatapathPlan, listenAddresses } from '../plan.ts';

/** What an agent wants to do on this node. */
export interface Wanted {
  /** Where it listens, addresses given by option included. */
  readonly listen: readonly Endpoint[];
  /** Its own addresses, which the packet filter brings to it. */
  readonly own: readonly string[];
  /** Others' addresses whose queries it wants to answer: the cluster DNS Service, the node's own resolvers. */
  readonly others: readonly string[];
  /** Those of both kinds whose queries connection tracking sees. */
  readonly tracked: readonly string[];
  readonly names: DatapathNames;
  /** Ours as well: agents of before, or one that lives beside, have rules there. */
  readonly otherNames: readonly DatapathNames[];
}

/** @param given addresses given by option: served as they are, and not brought by the packet filter */
export function wantedOf(
  plan: DatapathPlan,
  given: ListenAddresses,
  names: DatapathNames,
  otherNames: readonly DatapathNames[] = [],
): Wanted {
  const addresses = (isOwn: boolean) => plan.addresses.filter(({ own }) => own === isOwn).map(({ address }) => address);
  return {
    listen: Object.values(listenAddresses(plan, given))
      .flat()
      .map(({ address, port }) => ({ address, port })),
    own: addresses(true),
    others: addresses(false),
    tracked: plan.addresses.filter(({ tracked }) => tracked).map(({ address }) => address),
    names,
    otherNames,
  };
}

/** What of the kernel the rules need; each is tried on its own where the whole is refused. */
export type KernelFeature =
  | 'nftables'
  | 'transparent sockets'
  | 'untracked packets'
  | 'sets with timeouts'
  | 'sets of flows'
  | 'address translation'
  | 'rerouting of local packets'
  | 'owned tables'
  | 'something else';

/** A UDP socket, or a TCP socket that listens. */
export interface BoundSocket {
  readonly protocol: 'udp' | 'tcp';
  readonly address: string;
  readonly port: number;
  /** Undefined where this process may not see whose it is. */
  readonly holder: { readonly pid: number; readonly name: string } | undefined;
}

/** How a trial to take an address and port beside others ended: `taken`, or why that could not be tried. */
export type BindTrial = 'free' | 'taken' | 'not tried';

export interface InterfaceAddress {
  readonly interface: string;
  readonly address: string;
}

/** A rule of `ip rule`. */
export interface PolicyRule {
  readonly family: 4 | 6;
  readonly priority: number;
  /** 0 where it leads to none: it refuses what it takes, or jumps to another rule. */
  readonly table: number;
  readonly mark: number;
  /** 0 where the rule looks at no mark. */
  readonly mask: number;
  /** Where it looks at the destination: an address and the length of its prefix. */
  readonly to?: { readonly address: string; readonly length: number };
  /** Whether it asks for a source, an interface, a port, a user or the like: whether that is so of a query cannot be known. */
  readonly narrow: boolean;
  /** It takes all but what it asks for (`not`). */
  readonly inverted: boolean;
}

/** A route of `ip route show table N`. */
export interface TableRoute {
  readonly family: 4 | 6;
  readonly table: number;
  /** As ip(8) shows it, for a person to read. */
  readonly text: string;
  /** `local … dev lo`, as ours are. */
  readonly isLocalOnLoopback: boolean;
}

export interface NodeFacts {
  readonly platform: NodeJS.Platform;
  /** Why the C library cannot be called; undefined where it can. */
  readonly libcTrouble: string | undefined;
  /** Effective capabilities of this process (capabilities(7)), one bit each. */
  readonly capabilities: bigint;
  /** As nft tells it, such as 1.0.6; undefined where there is none. */
  readonly nftVersion: string | undefined;
  /** What nft said to each thing that the kernel refused; empty where all are there, undefined where nothing could be tried. */
  readonly refused: ReadonlyMap<KernelFeature, string> | undefined;
  readonly hasIpv6: boolean;
  readonly interfaces: readonly string[];
  readonly addresses: readonly InterfaceAddress[];
  readonly sockets: readonly BoundSocket[];
  /** By {@link bindKey}. */
  readonly bindTrials: ReadonlyMap<string, BindTrial>;
  /** Below /proc/sys/net, with dots: `ipv4.conf.all.rp_filter`. */
  readonly sysctls: ReadonlyMap<string, number>;
  /** All tables; undefined where they cannot be read. */
  readonly ruleset: readonly NftObject[] | undefined;
  /** Tables of the old iptables, which nft cannot see: `ip filter`. */
  readonly legacyTables: readonly string[];
  /** Undefined where they cannot be read. */
  readonly policyRules: readonly PolicyRule[] | undefined;
  /** Those of our routing table. */
  readonly routes: readonly TableRoute[];
  readonly wanted: Wanted;
}

export function bindKey(protocol: 'udp' | 'tcp', { address, port }: Endpoint): string {
  return `${protocol} ${address} ${port}`;
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

/** Whether only the node's own processes can reach it, so that nothing has to be intercepted. */
export function isLoopback(address: string): boolean {
  return loopback.check(address, familyName(address));
}

export function familyName(address: string): 'ipv4' | 'ipv6' {
  return isV6Address(address) ? 'ipv6' : 'ipv4';
}

/** Every address whose queries are to be caught in the packet filter. */
export function caughtAddresses({ own, others }: Wanted): string[] {
  return [...new Set([...own, ...others])].filter((address) => !isLoopback(address));
}
