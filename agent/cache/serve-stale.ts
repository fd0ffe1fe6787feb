/** When an expired answer may be used (RFC 8767), and how often its refresh is tried. */
import type { Entry } from './entry.ts';

/** RFC 8767 §4: the TTL that a stale answer is given. */
export const maxStaleTtlSeconds = 30;
/** RFC 8767 §5: the client response timer, below the 2 s after which some clients give up. */
export const clientTimerMs = 1_800;
/** RFC 8767 §5: the failure recheck timer. */
const recheckMs = 30_000;

/** True if the expired `entry` may still answer. */
export function isServableStale(entry: Entry, nowMs: number): boolean {
  return nowMs < entry.staleUntilMs;
}

export function isRefreshDue(entry: Entry, nowMs: number): boolean {
  return nowMs >= entry.refreshAfterMs;
}

/** The refresh failed: the next try has to wait. One that came before its time does not count. */
export function postponeRefresh(entry: Entry, nowMs: number): void {
  if (entry.isFresh(nowMs)) return;
  entry.refreshAfterMs = nowMs + recheckMs;
}
