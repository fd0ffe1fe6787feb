/**
 * An answer of servers that nobody shall have: what stands in its place is remembered as long as a negative answer would be, so
 * that the servers are not asked again for each client. Not in snapshots, where nothing tells it from an answer of the servers.
 */
import * as header from '../wire/header.ts';
import type { PendingQuery } from '../wire/query.ts';
import type { RecordWalk } from '../wire/records.ts';
import { forget, keep } from './by-name.ts';
import { type CacheBounds, fillsCache } from './cacheability.ts';
import type { Entry } from './entry.ts';
import { entryWithoutRecords } from './failure.ts';
import type { CachePartition } from './response-cache.ts';

/**
 * NODATA and not NXDOMAIN, for the name exists; nor an error, upon which clients would ask elsewhere.
 * @param walk of the answer that is withheld
 */
export function withhold(
  cache: CachePartition,
  query: PendingQuery,
  { minTtl }: RecordWalk,
  bounds: CacheBounds,
  nowMs: number,
): Entry {
  const bound = Math.min(minTtl, bounds.maxTtlSeconds, bounds.maxNegativeTtlSeconds);
  const seconds = fillsCache(query.type) ? bound : 0;
  const entry = entryWithoutRecords(query, header.rcode.noError, nowMs, seconds);
  entry.markBlocked();
  // Who draws a name inwards says TTL 0; what was known before ends all the same.
  if (seconds > 0) keep(cache, query, entry, false);
  else forget(cache, query);
  return entry;
}
