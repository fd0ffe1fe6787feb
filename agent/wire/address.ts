import { SocketAddress } from 'node:net';
import { isV6Address } from '../../api/v1alpha1/address.ts';
import { u16 } from './octets.ts';

/** An IP address without a zone in network byte order, as A and AAAA records and packets have it. */
export function addressOctets(address: string): Buffer {
  if (!isV6Address(address)) return Buffer.from(address.split('.').map(Number));
  // An IPv4 address at the end stands for two groups.
  const groups = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) =>
    [a * 256 + +b, c * 256 + +d].map((group) => group.toString(16)).join(':'),
  );
  const [head = '', tail] = groups.split('::');
  const before = head === '' ? [] : head.split(':');
  const behind = tail === undefined || tail === '' ? [] : tail.split(':');
  const octets = Buffer.alloc(16);
  for (const [index, group] of before.entries()) octets.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  for (const [index, group] of behind.entries()) {
    octets.writeUInt16BE(Number.parseInt(group, 16), 16 - (behind.length - index) * 2);
  }
  return octets;
}

/** The address of 4 or 16 octets as people write it (RFC 5952 §4). */
export function addressText(octets: Buffer): string {
  if (octets.length === 4) return octets.join('.');
  const groups = Array.from({ length: 8 }, (_, index) => u16(octets, index * 2).toString(16)).join(':');
  return new SocketAddress({ address: groups, family: 'ipv6' }).address;
}
