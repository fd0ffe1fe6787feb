import { isIPv6 } from 'node:net';

/** An IP address without a zone in network byte order, as A and AAAA records and packets have it. */
export function addressOctets(address: string): Buffer {
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
