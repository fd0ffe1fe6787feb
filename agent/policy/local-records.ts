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
  return recordSets(addressRecordList(addresses, ttlSeconds));
}

/** @param addresses IP addresses */
export function addressRecordList(addresses: readonly string[], ttlSeconds: number): LocalRecord[] {
  return addresses.map((address) => ({
    type: isIPv4(address) ? recordType.A : recordType.AAAA,
    ttlSeconds,
    data: addressOctets(address),
  }));
}

/** Of one name. RFC 2181 §5: no record stands in a set twice; §5.2: those of a set have one TTL, which is the lowest. */
export function recordSets(records: readonly LocalRecord[]): Records {
  return new Map([...Map.groupBy(records, ({ type }) => type)].map(([type, set]) => [type, evened(set)]));
}

function evened(records: readonly LocalRecord[]): LocalRecord[] {
  const ttlSeconds = records.reduce((least, record) => Math.min(least, record.ttlSeconds), Number.POSITIVE_INFINITY);
  const distinct = new Map(records.map((record) => [record.data.toString('latin1'), { ...record, ttlSeconds }]));
  return [...distinct.values()];
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
