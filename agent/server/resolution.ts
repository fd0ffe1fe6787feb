import type { Entry } from '../cache/entry.ts';
import type { Timer } from '../clock.ts';
import type { ClientShare } from '../forward/client-shares.ts';
import type { DetachedQuery, PendingQuery } from '../wire/query.ts';
import type { Zone } from './plan.ts';
import type { Reply } from './server.ts';

/** A client that waits for its answer. */
export class Waiter {
  readonly query: PendingQuery;
  readonly reply: Reply;
  readonly startedAtMs: number;
  /** What it gets where the servers have nothing better in time. */
  readonly stale: Entry | undefined;
  timer: Timer | undefined;
  /** Where it waits for what another one has asked: it is counted as such. */
  sharing: ClientShare | undefined;
  #hasEnded = false;

  constructor(query: PendingQuery, reply: Reply, startedAtMs: number, stale: Entry | undefined) {
    this.query = query;
    this.reply = reply;
    this.startedAtMs = startedAtMs;
    this.stale = stale;
  }

  /** True once: whoever is told so answers. */
  end(): boolean {
    if (this.#hasEnded) return false;
    this.#hasEnded = true;
    this.timer?.cancel();
    return true;
  }
}

/** One question that is asked of the servers, on behalf of all who wait for it, or of nobody where an answer is made anew. */
export class Resolution {
  readonly query: DetachedQuery;
  readonly zone: Zone;
  /** Serves on where nothing better comes, if it is still there. */
  readonly known: Entry | undefined;
  readonly waiters: Waiter[];
  /** Next of those whose questions lead to the same place in {@link InFlight}. */
  chained: Resolution | undefined;
  #kept: Entry | undefined;

  constructor(query: DetachedQuery, zone: Zone, known: Entry | undefined, waiters: Waiter[]) {
    this.query = query;
    this.zone = zone;
    this.known = known;
    this.waiters = waiters;
  }

  /** A copy of an expired answer for those who wait: its place may be given to another one. All share it, and it may be long. */
  keep(stale: Entry): Entry {
    if (this.#kept?.stamp !== stale.stamp) this.#kept = stale.copy();
    return this.#kept;
  }
}
