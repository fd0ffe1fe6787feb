/** Addresses and ports as the kernel reads them from a packet. */
import { addressOctets } from '../wire/address.ts';

/** `ip daddr`, `ip6 daddr`: the address in network byte order. `address` must be an IP address without a zone. */
export const addressKey = addressOctets;

/** `th dport`: the port in network byte order. */
export function portKey(port: number): Buffer {
  const octets = Buffer.alloc(2);
  octets.writeUInt16BE(port);
  return octets;
}
