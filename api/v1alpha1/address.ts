import { isIP, SocketAddress } from 'node:net';

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

/** Of an IP address. That there is one is not asked again: the expression for it takes 5 ms to compile, in each thread. */
export function isV6Address(address: string): boolean {
  return address.includes(':');
}

/** RFC 5952 form of an IPv6 address; IPv4 as it is. `address` must be an IP address. */
export function canonicalAddress(address: string): string {
  return isV6Address(address) ? new SocketAddress({ address, family: 'ipv6' }).address : address;
}

/**
 * Whether the text is an IP address as the API server's rules mean it: not an IPv4 address written as an IPv6 one
 * (`::ffff:192.0.2.1`, RFC 4291 §2.5.5.2), which would be the same address in a second spelling, and without a zone (`fe80::1%eth0`).
 */
export function isAddress(text: string): boolean {
  return isIP(text) !== 0 && !text.includes('%') && !/^::ffff:.*\./.test(canonicalAddress(text));
}

/** Whether one machine can have the address: it is not unspecified, multicast, or above (RFC 6890, RFC 4291 §2.4). */
export function isUnicast(text: string): boolean {
  if (!isAddress(text)) return false;
  if (isV6Address(text)) return !/^(::$|ff)/.test(canonicalAddress(text));
  const first = Number(text.split('.')[0]);
  return first > 0 && first < 224;
}

/** `192.0.2.1:53` or `[2001:db8::1]:53`. */
export function formatEndpoint({ address, port }: Endpoint): string {
  return isV6Address(address) ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Whether the text is a network: `192.0.2.0/24`, `2001:db8::/32`. */
export function isPrefix(text: string): boolean {
  const [, address = '', bits = ''] = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  const family = isAddress(address) ? isIP(address) : 0;
  return family !== 0 && Number(bits) <= (family === 4 ? 32 : 128);
}
