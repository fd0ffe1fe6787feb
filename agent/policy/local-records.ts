/** Records of names that are answered here: addresses (RFC 1035 §3.4.1, RFC 3596 §2.2), and pointers to names. */
import { isIPv4 } from 'node:net';
import { addressOctets } from '../wire/address.ts';
import { type LocalAnswer, type LocalRecord, writeLocalAnswer } from '../wire/local-answer.ts';
import type { PendingQuery } from '../wire/query.ts';

export const recordType = { A: 1, PTR: 12, HINFO: 13, AAAA: 28 } as const;

export function isAddressType(type: number): boolean {
  return type === recordType.A || type === recordType.AAAA;
}

/** The records of one name, by type. */
export type Records = ReadonlyMap<number, readonly LocalRecord[]>;

/** @param addresses IP addresses */
export function addressRecords(addresses: readonly string[], ttlSeconds: number): Records {
  const records = addresses.map((address) => ({
    type: isIPv4(address) ? recordType.A : recordType.AAAA,
    ttlSeconds,
    data: addressOctets(address),
  }));
  return Map.groupBy(records, ({ type }) => type);
}

/** Those of the type that was asked; none of it is NODATA, for the name exists. */
export function writeRecords(
  out: Buffer,
  query: PendingQuery,
  limit: number,
  records: Records,
  why: Pick<LocalAnswer, 'extendedError' | 'extraText'> = {},
): number {
  return writeLocalAnswer(out, query, limit, { records: records.get(query.type) ?? [], ...why });
}
