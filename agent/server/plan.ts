/** What one listener serves by: built aside from a configuration, and swapped whole. */
import type { CacheBounds } from '../cache/cacheability.ts';
import type { NxdomainCuts } from '../cache/nxdomain-cuts.ts';
import type { CachePartition } from '../cache/response-cache.ts';
import type { Forwarder } from '../forward/forwarder.ts';
import type { Policy } from '../policy/policy.ts';
import type { RebindProtection } from '../policy/rebind.ts';
import type { SearchPathRelief, WhyAsked } from '../policy/search-path-relief.ts';
import type { ZoneTable } from '../zone/zone-table.ts';
import type { InFlight } from './in-flight.ts';
import { waitPlace, waitPlaces } from './waits.ts';

/** One server block. */
export interface Zone {
  /** Presentation form, for logs. */
  readonly name: string;
  readonly cache: CachePartition;
  /** Names below which there is nothing. */
  readonly cuts: NxdomainCuts;
  readonly bounds: CacheBounds;
  /** When an expired entry answers: at once, and is refreshed behind; where no server does in time; never. */
  readonly serveStale: 'Immediate' | 'Verify' | 'Disable';
  /** Popular answers are asked for again before they end. */
  readonly prefetch: boolean;
  /** Answers names that a search path makes and cluster DNS cannot have; undefined where that is not wanted. */
  readonly searchPath: SearchPathRelief | undefined;
  /** Looks for private addresses in answers of the servers; undefined where they may give any. */
  readonly rebind: RebindProtection | undefined;
  readonly forwarder: Forwarder;
  /** What is asked of the servers now, by question: equal ones share one upstream query. */
  readonly inFlight: InFlight;
  /** Indexed by {@link ZoneCount}. */
  readonly counts: Float64Array;
  readonly logQueries: boolean;
}

/** Why an answer is made here; each has a place of its own in a listener's tally. */
export const localReasons = [
  ...(['probe', 'identity', 'any', 'hosts', 'blockedDomains', 'redirects'] as const),
  ...(['privateReverse', 'specialNames', 'singleLabelNames', 'searchPath', 'nxdomainAbove'] as const),
] as const;
export type LocalReason = (typeof localReasons)[number];

export interface LocalPolicy {
  readonly answer: Policy;
  /** Of the reason, in a listener's tally. */
  readonly place: number;
}

export interface ListenerPlan {
  readonly zones: ZoneTable<Zone>;
  readonly policies: readonly LocalPolicy[];
  /** Who answers: node and listener. */
  readonly identity: Buffer;
}

/** Counts more at the place `what` of a tally. */
export function bump(counts: Float64Array, what: number, by = 1): void {
  counts[what] = (counts[what] ?? 0) + by;
}

/** What is counted for a server block; places in its tally. */
export const ZoneCount = {
  cache: 0,
  stale: 1,
  forwarded: 2,
  failed: 3,
  coalesced: 4,
  refused: 5,
  inFlight: 6,
  /** Names that a search path made: not asked about, or only counted; and those that exist against the specification. */
  searchPathSaved: 7,
  searchPathWrong: 8,
  /** Answers with private addresses for names of the public Internet: withheld, or only counted. */
  rebindBlocked: 9,
  rebindReported: 10,
  /** Of those that were refused: because their client has more than its share. */
  overShare: 11,
  /** Names that a search path made and that were asked about all the same, by why; and kinds of them that were forgotten. */
  searchPathUnproven: 12,
  searchPathSample: 13,
  searchPathException: 14,
  searchPathDnssec: 15,
  searchPathSoa: 16,
  searchPathForgotten: 17,
  /** Of those that were refused: because there are too many sockets of queries over UDP. */
  outOfSockets: 18,
} as const;
export const zoneCounts = Object.keys(ZoneCount).length;

/** Where a zone's tally has the names that a search path made and that were asked about all the same. */
export const askedPlaces: Readonly<Record<WhyAsked, number>> = {
  unproven: ZoneCount.searchPathUnproven,
  sample: ZoneCount.searchPathSample,
  exception: ZoneCount.searchPathException,
  dnssec: ZoneCount.searchPathDnssec,
  soa: ZoneCount.searchPathSoa,
};

/** What is counted for a listener; places in its tally. Response codes take the places from {@link firstRcodeCount} on. */
export const ListenerCount = {
  udpQueries: 0,
  tcpQueries: 1,
  dropped: 2,
  malformed: 3,
  exceptions: 4,
  truncated: 5,
  /** The agent's own queries upstream that came back to it. */
  loops: 6,
  /** The agent's own heartbeats, which are among the queries: over UDP, and over TCP. */
  heartbeats: 7,
  tcpHeartbeats: 8,
  /** What clients and the network do: see the listeners. */
  forged: 9,
  unsent: 10,
  overrun: 11,
  refusedPerClient: 12,
  refusedInAll: 13,
  displaced: 14,
  unread: 15,
  unfinished: 16,
  /** How long clients have waited for servers, added up. */
  waitedMs: 17,
  /** Queries whose line for the log was lost. */
  unlogged: 18,
} as const;
export const firstRcodeCount = Object.keys(ListenerCount).length;
export const rcodeCounts = 16;
const firstReasonCount = firstRcodeCount + rcodeCounts;
/** From here on: how many clients waited for servers, by how long; see waits.ts. */
export const firstWaitCount = firstReasonCount + localReasons.length;
export const listenerCounts = firstWaitCount + waitPlaces;

/** Counts a client that waited for servers until it was answered. */
export function bumpWait(counts: Float64Array, ms: number): void {
  bump(counts, ListenerCount.waitedMs, ms);
  bump(counts, firstWaitCount + waitPlace(ms));
}

/** Where a listener's tally has the answers that are made here for this reason. */
export function placeOf(reason: LocalReason): number {
  return firstReasonCount + localReasons.indexOf(reason);
}

export function localPolicy(reason: LocalReason, answer: Policy): LocalPolicy {
  return { answer, place: placeOf(reason) };
}
