/** Names with addresses of our own, as in a hosts file; and back from an address to its names (RFC 1035 §3.5, RFC 3596 §2.5). */
import { isIPv4 } from 'node:net';
import { addressOctets } from '../wire/address.ts';
import type { LocalRecord } from '../wire/local-answer.ts';
import { nameFromText } from '../wire/name.ts';
import { classIn } from '../wire/query.ts';
import { addressRecords, type Records, recordType, writeRecords } from './local-records.ts';
import type { Policy } from './policy.ts';

export interface Host {
  hostnames: readonly string[];
  addresses: readonly string[];
  ttlSeconds: number;
}

/** Of a name that stands in several hosts the addresses of all. */
export function hosts(list: readonly Host[]): Policy {
  const byName = new Map<string, Records>();
  const add = (name: string, records: Records) => {
    const known = byName.get(name) ?? new Map<number, readonly LocalRecord[]>();
    const types = [...new Set([...known.keys(), ...records.keys()])];
    byName.set(name, new Map(types.map((type) => [type, [...(known.get(type) ?? []), ...(records.get(type) ?? [])]])));
  };
  for (const { hostnames, addresses, ttlSeconds } of list) {
    for (const hostname of hostnames) add(nameFromText(hostname), addressRecords(addresses, ttlSeconds));
    const pointers = hostnames.map((hostname) => ({
      type: recordType.PTR,
      ttlSeconds,
      data: Buffer.from(nameFromText(hostname), 'latin1'),
    }));
    for (const address of addresses) add(nameFromText(reverseName(address)), new Map([[recordType.PTR, pointers]]));
  }
  return (query, out, limit) => {
    const records = byName.get(query.name);
    return records === undefined || query.class !== classIn ? 0 : writeRecords(out, query, limit, records);
  };
}

/** Presentation form. */
export function reverseName(address: string): string {
  const octets = [...addressOctets(address)].reverse();
  if (isIPv4(address)) return `${octets.join('.')}.in-addr.arpa`;
  return `${octets.flatMap((octet) => [octet & 0xf, octet >> 4].map((nibble) => nibble.toString(16))).join('.')}.ip6.arpa`;
}
