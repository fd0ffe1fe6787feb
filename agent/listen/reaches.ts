/** Whether a server that the agent would ask is the agent itself. */
import { networkInterfaces } from 'node:os';
import { canonicalAddress, type Endpoint, isV6Address } from '../../api/v1alpha1/address.ts';

/** Addresses of this machine, as they are looked up. */
export type OwnAddresses = () => readonly string[];

/** Asked where a listener is on all addresses of the machine, and not before: they come and go. */
const ofInterfaces: OwnAddresses = () =>
  Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address));

const anyAddress: Record<string, string> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** Whether what is sent to `server` comes in at `listener`. */
export function reaches(server: Endpoint, listener: Endpoint, ownAddresses = ofInterfaces): boolean {
  if (server.port !== listener.port) return false;
  const plain = plainAddress(server.address);
  // To ask the unspecified address is to ask the loopback one (Linux, and RFC 1122 §3.2.1.3 says not to do it at all).
  const to = anyAddress[plain] ?? plain;
  const at = plainAddress(listener.address);
  if (anyAddress[at] === undefined) return to === at;
  if (isV6Address(to) !== isV6Address(at)) return false;
  return to === '::1' || to.startsWith('127.') || ownAddresses().includes(to);
}

/** An IPv4 address as itself where it is written as an IPv6 one (RFC 4291 §2.5.5.2): the same packets go there. */
function plainAddress(address: string): string {
  return canonicalAddress(address).replace(/^::ffff:(?=\d+\.)/, '');
}
