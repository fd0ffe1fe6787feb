/**
 * Addresses and networks as they come from the API server. It takes IPv4 octets with leading zeros, which are decimal to it, and IPv4
 * written as IPv6 (k8s.io/utils/net, ParseIPSloppy and ParseCIDRSloppy); we write neither.
 */
import { isIP } from 'node:net';
import { canonicalAddress } from './address.ts';

/** `bits` of an address, and those alone. */
export interface Network {
  readonly family: 4 | 6;
  readonly bits: number;
  readonly prefix: bigint;
}

const size = { 4: 32, 6: 128 } as const;
/** Bits of an IPv4 address written as IPv6 that say that it is one (RFC 4291 §2.5.5.2). */
const mappedBits = 96;

/** In canonical form, as the rules of our own kinds want it; undefined where it is no address. */
export function kubeAddress(text: string): string | undefined {
  const address = plain(text);
  return address?.replace(/^::ffff:(?=\d+\.)/, '');
}

/** Undefined where it is no network. Bits beyond the network's are taken, and mean nothing. */
export function kubeNetwork(text: string): Network | undefined {
  const [, addressText = '', bitsText = ''] = /^([^/]+)\/(\d+)$/.exec(text) ?? [];
  const address = plain(addressText);
  const bits = Number(bitsText);
  if (address === undefined || bits > size[isIP(address) === 4 ? 4 : 6]) return undefined;
  const bare = kubeAddress(addressText) ?? '';
  if (bare === address) return networkOf(address, bits);
  return bits < mappedBits ? undefined : networkOf(bare, bits - mappedBits);
}

/** `address` must be an IP address in canonical form. */
export function networkOf(address: string, bits: number): Network {
  const family = isIP(address) === 4 ? 4 : 6;
  return { family, bits, prefix: numberOf(address, family) >> BigInt(size[family] - bits) };
}

export function contains(network: Network, inner: Network): boolean {
  if (network.family !== inner.family || inner.bits < network.bits) return false;
  return inner.prefix >> BigInt(inner.bits - network.bits) === network.prefix;
}

/** The network of at most so many bits that it is in. */
export function widened({ family, bits, prefix }: Network, most: number): Network {
  const kept = Math.min(bits, most);
  return { family, bits: kept, prefix: prefix >> BigInt(bits - kept) };
}

/** `10.0.0.0/8`, `2001:db8::/32`. */
export function formatNetwork({ family, bits, prefix }: Network): string {
  const hex = (prefix << BigInt(size[family] - bits)).toString(16).padStart(size[family] / 4, '0');
  const address =
    family === 4
      ? (hex.match(/../g) ?? []).map((octet) => Number.parseInt(octet, 16)).join('.')
      : canonicalAddress((hex.match(/..../g) ?? []).join(':'));
  return `${address}/${bits}`;
}

function plain(text: string): string | undefined {
  const trimmed = text.replaceAll(/(?<=^|[.:])0+(?=[0-9a-f])/gi, '');
  return isIP(trimmed) === 0 || trimmed.includes('%') ? undefined : canonicalAddress(trimmed);
}

function numberOf(address: string, family: 4 | 6): bigint {
  if (family === 4) return BigInt(address.split('.').reduce((value, octet) => value * 256 + Number(octet), 0));
  const [head = [], tail = []] = address.split('::').map(groupsOf);
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0000');
  return BigInt(`0x${[...head, ...zeros, ...tail].join('')}`);
}

function groupsOf(half: string): string[] {
  return half.split(':').flatMap((group) => {
    // RFC 5952 leaves the last four octets of some addresses in decimal (§5).
    const hex = group.includes('.') ? numberOf(group, 4).toString(16).padStart(8, '0') : group.padStart(4, '0');
    return hex.match(/..../g) ?? [];
  });
}
