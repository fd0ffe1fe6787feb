/** Popular answers are asked for again before they end, so that nobody waits for them. */
import type { Entry } from './entry.ts';

/** The last part of a TTL in which it is done. */
const lastPart = 0.1;
/** An answer that was used so often since it came is popular. */
const popular = 3;

/** From when on it is done for a popular entry. */
export function prefetchFromMs({ expiresAtMs, storedAtMs }: Entry): number {
  return expiresAtMs - (expiresAtMs - storedAtMs) * lastPart;
}

/** True once for each fresh `entry` that is popular, when it is time. A failure is to hold for all of its time (RFC 9520 §3.2). */
export function isPrefetchDue(entry: Entry, nowMs: number): boolean {
  if (entry.uses < popular || entry.isPrefetched || entry.failures > 0) return false;
  if (nowMs < prefetchFromMs(entry)) return false;
  entry.markPrefetched();
  return true;
}
