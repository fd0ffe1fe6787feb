/** Names with addresses of our own, as in a hosts file; and back from an address to its names (RFC 1035 §3.5, RFC 3596 §2.5). */
import { isIPv4 } from 'node:net';
import { addressOctets } from '../wire/address.ts';
import type { LocalRecord } from '../wire/local-answer.ts';
import { nameFromText } from '../wire/name.ts';
import { classIn } from '../wire/query.ts';
import { addressRecordList, type Records, recordSets, recordType, writeRecords } from './local-records.ts';
import type { Policy } from './policy.ts';

export interface Host {
  hostnames: readonly string[];
  addresses: readonly string[];
  ttlSeconds: number;
}

/** Of a name that stands in several hosts the addresses of all. */
export function hosts(list: readonly Host[]): Policy {
  const gathered = new Map<string, LocalRecord[]>();
  const add = (name: string, records: readonly LocalRecord[]) => {
    const known = gathered.get(name);
    if (known === undefined) gathered.set(name, [...records]);
    else known.push(...records);
  };
  for (const { hostnames, addresses, ttlSeconds } of list) {
    for (const hostname of hostnames) add(nameFromText(hostname), addressRecordList(addresses, ttlSeconds));
    const pointers = hostnames.map((hostname) => ({
      type: recordType.PTR,
      ttlSeconds,
      data: Buffer.from(nameFromText(hostname), 'latin1'),
    }));
    for (const address of addresses) if (!isUnspecified(address)) add(nameFromText(reverseName(address)), pointers);
  }
  const byName = new Map<string, Records>([...gathered].map(([name, records]) => [name, recordSets(records)]));
  return (query, out, limit) => {
    const records = byName.get(query.name);
    return records === undefined || query.class !== classIn ? 0 : writeRecords(out, query, limit, records);
  };
}

/** RFC 1122 §3.2.1.3, RFC 4291 §2.5.2: no host's. Lists of names that are to lead nowhere give it to thousands. */
function isUnspecified(address: string): boolean {
  return addressOctets(address).every((octet) => octet === 0);
}

/** Presentation form. */
export function reverseName(address: string): string {
  const octets = [...addressOctets(address)].reverse();
  if (isIPv4(address)) return `${octets.join('.')}.in-addr.arpa`;
  return `${octets.flatMap((octet) => [octet & 0xf, octet >> 4].map((nibble) => nibble.toString(16))).join('.')}.ip6.arpa`;
}
