/** Which upstream answers may be cached, for how long, and what TTLs clients are told. */
import * as header from '../wire/header.ts';
import { setU32 } from '../wire/octets.ts';
import { type RecordWalk, ttlAt } from '../wire/records.ts';

/** Bounds of one server block, in seconds. */
export interface CacheBounds {
  /** Positive or negative; 0 caches nothing. */
  maxTtlSeconds: number;
  maxNegativeTtlSeconds: number;
  /** How long past its TTL an answer may be used. */
  staleSeconds: number;
}

/**
 * QTYPEs that ask about more than one record set, or about the transaction, and type 0, which is reserved (RFC 6895 §3.1): what is
 * answered to them fills no cache. In the place of type 0 stands what is true of a name whatever its type.
 */
const reservedType = 0;
const firstMetaType = 128;
const lastMetaType = 255;

/**
 * Seconds for which the answer may be cached, 0 for not at all.
 *
 * - RFC 2181 §9: never a truncated answer. Failures and extended codes neither.
 * - RFC 2308 §5: a negative answer for min(SOA TTL, SOA MINIMUM), and not without a SOA.
 * - RFC 2181 §8: TTL 0 is not cached.
 */
export function cacheableSeconds(message: Buffer, walk: RecordWalk, type: number, bounds: CacheBounds): number {
  if ((header.flags(message) & header.flag.truncated) !== 0) return 0;
  const code = walk.extendedRcode * 16 + header.responseCode(message);
  if (code !== header.rcode.noError && code !== header.rcode.nxDomain) return 0;
  if (!fillsCache(type)) return 0;
  if (!isNegative(message, walk)) return Math.min(walk.minTtl, bounds.maxTtlSeconds);
  if (walk.soaTtlOffset < 0) return 0;
  return Math.min(walk.minTtl, walk.soaMinimum, bounds.maxTtlSeconds, bounds.maxNegativeTtlSeconds);
}

export function fillsCache(type: number): boolean {
  return type !== reservedType && (type < firstMetaType || type > lastMetaType);
}

/** NXDOMAIN, or NODATA: no record of the type that was asked (RFC 2308 §2). */
export function isNegative(message: Buffer, walk: RecordWalk): boolean {
  return header.responseCode(message) === header.rcode.nxDomain || walk.answersOfType === 0;
}

/** Writes into the message the TTLs that clients are told: the bounds of the block hold for them as well. */
export function boundTtls(message: Buffer, walk: RecordWalk, bounds: CacheBounds): void {
  const cap = bounds.maxTtlSeconds === 0 ? Number.POSITIVE_INFINITY : bounds.maxTtlSeconds;
  for (const at of walk.ttlOffsets) setU32(message, at, Math.min(ttlAt(message, at), cap));
  if (walk.soaTtlOffset < 0 || !isNegative(message, walk)) return;
  const negativeCap = bounds.maxTtlSeconds === 0 ? cap : bounds.maxNegativeTtlSeconds;
  const soaTtl = Math.min(ttlAt(message, walk.soaTtlOffset), walk.soaMinimum, negativeCap);
  setU32(message, walk.soaTtlOffset, soaTtl);
  walk.minTtl = Math.min(walk.minTtl, soaTtl);
}
