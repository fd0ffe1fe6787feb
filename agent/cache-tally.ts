import type { ResponseCache } from './cache/response-cache.ts';
import type { Clock } from './clock.ts';
import type { Tallies } from './tallies.ts';

/** What is counted for the cache; places in its tally. */
export const CacheCount = { entries: 0, bytes: 1, evictions: 2, restoredFromPeer: 3, restoredFromDisk: 4 } as const;

const intervalMs = 1_000;

/** Copies the cache's gauges into shared memory, where the control worker reads them; what was restored others count there. */
export function updateCacheTally(cache: ResponseCache, tallies: Tallies, clock: Clock): Float64Array {
  const counts = tallies.open('cache', {}, Object.keys(CacheCount).length);
  const update = () => {
    counts[CacheCount.entries] = cache.size;
    counts[CacheCount.bytes] = cache.bytes;
    counts[CacheCount.evictions] = cache.evictions;
    clock.after(intervalMs, update);
  };
  update();
  return counts;
}
