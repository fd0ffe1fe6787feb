/** Keys and data of nftables sets, as the kernel compares them with what it reads from a packet. */
import { isIPv6 } from 'node:net';
import { align, hostU32Octets } from './netlink-attribute.ts';

/** `ip daddr`, `ip6 daddr`: the address in network byte order. `address` must be an IP address without a zone. */
export function addressKey(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number));
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

/** `meta mark`, `numgen`: a register's value, in the byte order of the machine. */
export function numberKey(value: number): Buffer {
  return hostU32Octets(value);
}

/** `th dport`: the port in network byte order. */
export function portKey(port: number): Buffer {
  const octets = Buffer.alloc(2);
  octets.writeUInt16BE(port);
  return octets;
}

/** A key or a value of several parts, such as `ip daddr . th dport`: each of them is filled up to four octets. */
export function concatenation(...parts: readonly Buffer[]): Buffer {
  return Buffer.concat(parts.map((part) => Buffer.concat([part, Buffer.alloc(align(part.length) - part.length)])));
}

/** A value of the maps that the fallback takes its destinations from. */
export function backend(address: string, port: number): Buffer {
  return concatenation(addressKey(address), portKey(port));
}
