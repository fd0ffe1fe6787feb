/** Addresses that lead nowhere in the public Internet, but to a machine, a link, or somebody's own network. */
import { isWithin, type Prefix, prefixFromText } from '../wire/prefix.ts';

/** The machine itself. Who connects to the unspecified address reaches it as well (RFC 1122 §3.2.1.3). */
const loopback = ['127.0.0.0/8', '0.0.0.0/8', '::1/128', '::/128'];

const ownNetworks = [
  // RFC 1918, RFC 6598, RFC 3927.
  ...['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '169.254.0.0/16'],
  // RFC 4193, RFC 4291 §2.5.6, and what RFC 3879 did away with.
  ...['fc00::/7', 'fe80::/10', 'fec0::/10'],
];

/** IPv6 addresses that hold an IPv4 address, and at which octet: whoever connects to them may reach that one. */
const embeddings: readonly (readonly [Prefix, number])[] = (
  [
    // RFC 4291 §2.5.5: mapped, compatible.
    ['::ffff:0:0/96', 12],
    ['::/96', 12],
    // NAT64: RFC 6052 §2.1, and the prefix for networks of one's own, as a /96 (RFC 8215).
    ['64:ff9b::/96', 12],
    ['64:ff9b:1::/48', 12],
    // 6to4: RFC 3056 §2.
    ['2002::/16', 2],
  ] as const
).map(([prefix, at]) => [prefixFromText(prefix), at]);

export class PrivateAddresses {
  readonly #prefixes: readonly Prefix[];

  /** @param extraPrefixes networks that count as private too */
  constructor(allowLoopback: boolean, extraPrefixes: readonly string[] = []) {
    const prefixes = [...ownNetworks, ...(allowLoopback ? [] : loopback), ...extraPrefixes];
    this.#prefixes = prefixes.map(prefixFromText);
  }

  /** @param length 4 or 16; an address of another length is none */
  has(message: Buffer, at: number, length: number): boolean {
    if (this.#prefixes.some((prefix) => isWithin(prefix, message, at, length))) return true;
    return embeddings.some(
      ([prefix, offset]) => isWithin(prefix, message, at, length) && this.has(message, at + offset, 4),
    );
  }
}
