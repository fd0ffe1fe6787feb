/**
 * The network of the lab. One namespace stands for the world between nodes, with the API server in it; from it routed veth
 * pairs lead to the node, to the resolver of the node, and to a pod of another node. From the node they lead to its pods, as
 * most network plugins do it (the CNI plugin `ptp`): so every packet of a pod takes the node's prerouting hook.
 */
import { execFileSync } from 'node:child_process';
import type { Namespace } from '../cluster/namespace.ts';

/** An address of each family. */
export interface Addresses {
  readonly v4: string;
  readonly v6: string;
}

export const addresses = {
  world: { v4: '10.200.0.1', v6: 'fd00:200::1' },
  node: { v4: '10.200.0.11', v6: 'fd00:200::11' },
  nodeResolver: { v4: '10.200.0.53', v6: 'fd00:200::53' },
  /** To whom the node's resolvers are changed. */
  otherResolver: { v4: '10.200.0.54', v6: 'fd00:200::54' },
  podGateway: { v4: '10.244.1.1', v6: 'fd00:244:1::1' },
  /** Cluster DNS: one pod on the node itself, one on another node. */
  nearDns: { v4: '10.244.1.53', v6: 'fd00:244:1::53' },
  farDns: { v4: '10.244.2.53', v6: 'fd00:244:2::53' },
} as const satisfies Record<string, Addresses>;

export const podRanges = { v4: '10.244.0.0/16', v6: 'fd00:244::/32' } as const;
const nodePodRanges = { v4: '10.244.1.0/24', v6: 'fd00:244:1::/48' } as const;

export function podAddresses(number: number): Addresses {
  return { v4: `10.244.1.${100 + number}`, v6: `fd00:244:1::${100 + number}` };
}

/** Makes a namespace forward what is not for it, as nodes and routers do. */
export function makeRouter(namespace: Namespace): void {
  sysctl(namespace, { 'net/ipv4/ip_forward': '1', 'net/ipv6/conf/all/forwarding': '1' });
}

export interface Wire {
  /** The name of the device on the gateway's side. */
  readonly device: string;
  readonly guest: Namespace;
  readonly gateway: Namespace;
}

/** Joins a guest to its gateway, through which it reaches everything. */
export function attach(guest: Namespace, gateway: Namespace, device: string, own: Addresses, other: Addresses): Wire {
  // Nobody else is on this wire: addresses need not wait until it is sure that nobody else has them (RFC 4862 §5.4).
  for (const namespace of [guest, gateway]) {
    sysctl(namespace, { 'net/ipv6/conf/default/accept_dad': '0', 'net/ipv6/conf/default/accept_ra': '0' });
  }
  gateway.ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', guest.name);
  for (const [end, dev, address] of [
    [gateway, device, other],
    [guest, 'eth0', own],
  ] as const) {
    end.ip('link', 'set', dev, 'up');
    end.ip('address', 'add', `${address.v4}/32`, 'dev', dev);
    end.ip('address', 'add', `${address.v6}/128`, 'dev', dev, 'nodad');
  }
  for (const family of ['v4', 'v6'] as const) {
    gateway.ip('route', 'replace', own[family], 'dev', device);
    guest.ip('route', 'replace', other[family], 'dev', 'eth0');
    guest.ip('route', 'add', 'default', 'via', other[family], ...(family === 'v4' ? ['src', own.v4] : []));
  }
  return { device, guest, gateway };
}

/** Leads the pods of the node to it. */
export function routeToPods(world: Namespace): void {
  for (const family of ['v4', 'v6'] as const) {
    world.ip('route', 'add', nodePodRanges[family], 'via', addresses.node[family]);
  }
}

/** Settings of a namespace's network, by their path below /proc/sys. */
export function sysctl(namespace: Namespace, settings: Record<string, string>): void {
  // A process sees the settings of the namespace that it is in; a shell's own writing is one process less for each.
  const script = Object.entries(settings).map(([path, value]) => `echo ${value} > /proc/sys/${path}`);
  execFileSync('nsenter', [`--net=/run/netns/${namespace.name}`, 'sh', '-c', script.join('\n')], { timeout: 10_000 });
}

/** Packet rules of an administrator, or of another program. */
export function nft(namespace: Namespace, rules: string): void {
  const command = [`--net=/run/netns/${namespace.name}`, 'nft', '-f', '-'];
  execFileSync('nsenter', command, { input: rules, stdio: ['pipe', 'ignore', 'pipe'], timeout: 10_000 });
}
