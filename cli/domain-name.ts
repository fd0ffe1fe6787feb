/**
 * Domain names as people write them: labels joined by dots, no trailing dot, "." for the root. Octets that are no letter,
 * digit, hyphen or underscore stand as \DDD (RFC 1035 §5.1), so that a label with a dot in it is not mistaken for two.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';

/** RFC 1035 §2.3.4: 255 octets on the wire, which is 253 characters without the length octets at both ends. */
const maxNameLength = 253;
const maxLabelLength = 63;

/** A name to ask for, from the command line or a file, or why it is none. Unicode becomes its ASCII form (RFC 5890). */
export function parseDomainName(text: string): { name: string } | { error: string } {
  if (text === '.') return { name: '.' };
  const isAscii = [...text].every((character) => character >= '!' && character <= '~');
  const name = (isAscii ? text : domainToASCII(text)).replace(/\.$/, '');
  if (name === '') return { error: `${JSON.stringify(text)} is not a domain name` };
  if (name.length > maxNameLength) return { error: `a domain name has at most ${maxNameLength} characters` };
  for (const label of name.split('.')) {
    if (label === '')
      return { error: `${JSON.stringify(text)} has an empty label: two dots in a row, or one in front` };
    if (label.length > maxLabelLength) return { error: `a label has at most ${maxLabelLength} characters: ${label}` };
  }
  return { name };
}

/** The name under which PTR records of an address stand (RFC 1035 §3.5, RFC 3596 §2.5); undefined where it is no address. */
export function reverseName(address: string): string | undefined {
  if (isIPv4(address)) return `${address.split('.').reverse().join('.')}.in-addr.arpa`;
  if (!isIPv6(address)) return undefined;
  return `${[...hexDigits(address)].reverse().join('.')}.ip6.arpa`;
}

/** All 32 digits of an IPv6 address. */
function hexDigits(address: string): string {
  const plain = withoutEmbeddedIPv4(address.replace(/%.*$/, ''));
  const [head = '', tail] = plain.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const middle: string[] = new Array(tail === undefined ? 0 : 8 - front.length - back.length).fill('0');
  return [...front, ...middle, ...back].map((group) => group.padStart(4, '0').toLowerCase()).join('');
}

function withoutEmbeddedIPv4(address: string): string {
  const match = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  if (match === null) return address;
  const [a = 0, b = 0, c = 0, d = 0] = match.slice(2).map(Number);
  return `${match[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

/** What is above a name, nearest first, up to and without the root: a.b.c → b.c, c. */
export function ancestors(name: string): string[] {
  const labels = name.split('.');
  return labels.slice(1).map((_, at) => labels.slice(at + 1).join('.'));
}
