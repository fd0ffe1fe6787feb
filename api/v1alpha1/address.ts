import { isIP, isIPv6, SocketAddress } from 'node:net';

/** An IP address and a port, as DNS servers and listeners are written: `192.0.2.1:53`, `[2001:db8::1]:53`. */
export interface Endpoint {
  address: string;
  port: number;
}

export const dnsPort = 53;

/**
 * Parses `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1` or `[2001:db8::1]:53`; undefined where it is none of these.
 * The address comes back in canonical form (RFC 5952), so that equal addresses compare equal.
 */
export function parseEndpoint(text: string, defaultPort = dnsPort): Endpoint | undefined {
  const match = /^(?:\[([^\]]+)\](?::(\d{1,5}))?|([^:]+):(\d{1,5}))$/.exec(text);
  if (match === null) {
    return isIP(text) === 0 ? undefined : { address: canonicalAddress(text), port: defaultPort };
  }
  const address = match[1] ?? match[3] ?? '';
  const portText = match[2] ?? match[4];
  const port = portText === undefined ? defaultPort : Number(portText);
  const family = match[1] === undefined ? 4 : 6;
  if (isIP(address) !== family || port < 1 || port > 65535) return undefined;
  return { address: canonicalAddress(address), port };
}

/** RFC 5952 form of an IPv6 address; IPv4 as it is. `address` must be an IP address. */
export function canonicalAddress(address: string): string {
  return isIPv6(address) ? new SocketAddress({ address, family: 'ipv6' }).address : address;
}

/** `192.0.2.1:53` or `[2001:db8::1]:53`. */
export function formatEndpoint({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Whether the text is a network: `192.0.2.0/24`, `2001:db8::/32`. */
export function isPrefix(text: string): boolean {
  const [, address = '', bits = ''] = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  const family = address.includes('%') ? 0 : isIP(address);
  return family !== 0 && Number(bits) <= (family === 4 ? 32 : 128);
}
