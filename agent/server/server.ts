import { withhold } from '../cache/blocked.ts';
import { askForAnyType, find, forget, isAboutName, keep } from '../cache/by-name.ts';
import { boundTtls, cacheableSeconds } from '../cache/cacheability.ts';
import { Entry, passingCells } from '../cache/entry.ts';
import { rememberFailure } from '../cache/failure.ts';
import { isPrefetchDue, prefetchFromMs } from '../cache/prefetch.ts';
import { clientTimerMs, isRefreshDue, isServableStale, postponeRefresh } from '../cache/serve-stale.ts';
import type { Clock } from '../clock.ts';
import { ClientShares } from '../forward/client-shares.ts';
import { type Answered, type Failed, type Outcome, refused } from '../forward/outcome.ts';
import { maxMessageLength, sizeLimit, writeEmptyAnswer, writeRefusal } from '../wire/answer.ts';
import { type Origin, origin } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import { nameToText } from '../wire/name.ts';
import { wordwise } from '../wire/octets.ts';
import { Accept, type PendingQuery, Query } from '../wire/query.ts';
import { evenTtls } from '../wire/rrset.ts';
import {
  bump,
  bumpWait,
  firstRcodeCount,
  ListenerCount,
  type ListenerPlan,
  placeOf,
  type Zone,
  ZoneCount,
} from './plan.ts';
import { olderAtMs, Repeats } from './repeats.ts';
import { Resolution, Waiter } from './resolution.ts';
import { FailureLines, type ServerLog } from './server-log.ts';

/** Where the answer to one packet goes. Exactly one of {@link Reply.send} and {@link Reply.drop} is called for each. */
export interface Reply {
  readonly overTcp: boolean;
  /** Over TCP: how long the connection stays open without a query. */
  readonly idleMs?: number;
  /** The client's address. */
  readonly client: string;
  /** Which the packet lies in, from its `byteOffset` on, where it is the same for many. */
  readonly memory?: Int32Array;
  /** Takes `message[0, length)` before it returns; the buffer is used again. */
  send(message: Buffer, length: number): void;
  /** There will be no answer. */
  drop(): void;
}

/** Who is asked for once is not kept twice. */
const usesOfRepeats = 2;
/** Some two kilobytes each. */
const maxSharing = 8_192;
const tooManyWait = refused('too many queries wait for answers that are on their way');
const reliefPlace = placeOf('searchPath');
const cutPlace = placeOf('nxdomainAbove');
const probePlace = placeOf('probe');

/** Serves one listener's packets: parse, policies, zone, cache, forward. */
export class Server {
  #plan: ListenerPlan;
  readonly #clock: Clock;
  readonly #log: ServerLog;
  readonly #counts: Float64Array;
  readonly #query = new Query();
  /** What is served now has begun something that takes time. */
  #goesOn = false;
  /** Those who wait for what others have asked. */
  readonly #sharing = new ClientShares(maxSharing);
  readonly #outWords = wordwise(Buffer.alloc(maxMessageLength));
  readonly #out = this.#outWords.octets;
  readonly #repeats = new Repeats<Zone>();
  /** For the answer that is told to all who wait for it. */
  readonly #passing = passingCells();
  readonly #failures: FailureLines;

  constructor(plan: ListenerPlan, clock: Clock, counts: Float64Array, log: ServerLog) {
    this.#plan = plan;
    this.#query.identity = plan.identity;
    this.#clock = clock;
    this.#counts = counts;
    this.#log = log;
    this.#failures = new FailureLines(log);
  }

  /** What comes next is served by `plan`; what is in flight ends on the old one. */
  swap(plan: ListenerPlan): void {
    this.#plan = plan;
    this.#query.identity = plan.identity;
    this.#repeats.clear();
  }

  /** Never throws. The packet is not used after the return. True where it is over, false where something goes on. */
  serve(packet: Buffer, reply: Reply): boolean {
    this.#goesOn = false;
    try {
      if (reply.overTcp || !this.#repeat(packet, reply)) this.#serve(packet, reply);
    } catch (error) {
      this.#exception(error, reply);
      return false;
    }
    return !this.#goesOn;
  }

  #exception(error: unknown, reply: Reply): void {
    this.#failed(error);
    reply.drop();
  }

  #failed(error: unknown): void {
    this.#count(ListenerCount.exceptions);
    this.#log.exception(error);
  }

  /** What was answered from the cache a moment ago; false where it was not. */
  #repeat(packet: Buffer, reply: Reply): boolean {
    const repeats = this.#repeats;
    const place = repeats.find(packet, this.#clock.nowMs(), reply.memory);
    if (place < 0) return false;
    const zone = repeats.owner(place);
    if (!zone.cache.use(repeats.first(place), repeats.stamp(place))) return false;
    const length = repeats.answer(place, packet, this.#outWords);
    this.#count(ListenerCount.udpQueries);
    bump(zone.counts, ZoneCount.cache);
    this.#send(reply, length);
    return true;
  }

  #serve(packet: Buffer, reply: Reply): void {
    const plan = this.#plan;
    const query = this.#query;
    const out = this.#out;
    query.idleMs = reply.idleMs ?? -1;
    const verdict = query.parse(packet);
    this.#count(reply.overTcp ? ListenerCount.tcpQueries : ListenerCount.udpQueries);
    if (verdict !== Accept.Yes) {
      this.#count(verdict === Accept.Drop ? ListenerCount.dropped : ListenerCount.malformed);
      this.#send(reply, writeRefusal(out, query, verdict));
      return;
    }
    const limit = sizeLimit(query, reply.overTcp);
    for (const { answer, place } of plan.policies) {
      const length = answer(query, out, limit);
      if (length > 0) {
        this.#local(place, reply, length, plan.zones.match(query.name));
        return;
      }
    }
    const zone = plan.zones.match(query.name);
    const nowMs = this.#clock.nowMs();
    const entry = find(zone.cache, query, nowMs);
    if (entry?.isFresh(nowMs)) {
      const length = this.#answer(entry, query, zone, reply, nowMs, origin.cache);
      if (zone.prefetch && isPrefetchDue(entry, nowMs)) this.#refresh(query, zone, entry, reply);
      else if (!reply.overTcp && !zone.logQueries) this.#keepForRepeats(packet, reply, length, zone, entry, nowMs);
      return;
    }
    const cut = entry === undefined ? zone.cuts.answer(query, out, limit, nowMs) : 0;
    if (cut > 0) {
      this.#local(cutPlace, reply, cut, zone);
      return;
    }
    const relieved = zone.searchPath?.answer(query, out, limit) ?? 0;
    if (relieved > 0) {
      this.#local(reliefPlace, reply, relieved, zone);
      return;
    }
    if (entry === undefined || zone.serveStale === 'Disable' || !isServableStale(entry, nowMs)) {
      this.#wait(query, zone, reply, nowMs);
      return;
    }
    const isDue = isRefreshDue(entry, nowMs);
    if (isDue && zone.serveStale === 'Verify') {
      this.#wait(query, zone, reply, nowMs, entry);
      return;
    }
    this.#answer(entry, query, zone, reply, nowMs, origin.stale);
    if (isDue) this.#refresh(query, zone, entry, reply);
  }

  /** Until its TTLs are a second less, it ends, or is to be asked for anew. */
  #keepForRepeats(packet: Buffer, { memory }: Reply, length: number, zone: Zone, entry: Entry, nowMs: number): void {
    const untilMs = Math.min(olderAtMs(entry, nowMs), zone.prefetch ? prefetchFromMs(entry) : entry.expiresAtMs);
    if (entry.uses >= usesOfRepeats && nowMs < untilMs)
      this.#repeats.keep(packet, this.#outWords, length, zone, entry, untilMs, memory);
  }

  /** Sends what was made here, for the reason that has this place in the tally. */
  #local(place: number, reply: Reply, length: number, zone: Zone): void {
    this.#count(place);
    this.#send(reply, length);
    // The agent's own heartbeats are no queries to anybody who reads a log.
    if (zone.logQueries && place !== probePlace) this.#logQuery(this.#query, reply, origin.local, this.#clock.nowMs());
  }

  /** Behind the answer; once for all who would. */
  #refresh(query: Query, zone: Zone, entry: Entry, { client }: Reply): void {
    if (zone.inFlight.find(query) === undefined) this.#begin(new Resolution(query.detach(), zone, entry, []), client);
  }

  /**
   * The answer comes later.
   * @param stale RFC 8767 §5: the servers are asked first; where none answers well, or not before the client gives up, this does
   */
  #wait(asked: Query, zone: Zone, reply: Reply, startedAtMs: number, stale?: Entry): void {
    const query = asked.detach();
    const shared = zone.inFlight.find(query);
    const resolution = shared ?? new Resolution(query, zone, stale, []);
    const waiter = new Waiter(query, reply, startedAtMs, stale && resolution.keep(stale));
    if (stale !== undefined) waiter.timer = this.#clock.after(clientTimerMs, () => this.#giveStale(waiter, zone));
    if (shared !== undefined) {
      this.#share(shared, waiter, zone);
      return;
    }
    resolution.waiters.push(waiter);
    this.#begin(resolution, reply.client);
  }

  /** An equal question costs the servers nothing, but the memory of whoever waits: that has a bound, and each client its share. */
  #share(shared: Resolution, waiter: Waiter, zone: Zone): void {
    const { client } = waiter.reply;
    if (this.#sharing.excess(client) !== undefined) {
      bump(zone.counts, ZoneCount.refused);
      bump(zone.counts, ZoneCount.overShare);
      this.#tellFailure(waiter, zone, tooManyWait);
      return;
    }
    waiter.sharing = this.#sharing.enter(client);
    bump(zone.counts, ZoneCount.coalesced);
    shared.waiters.push(waiter);
  }

  #giveStale(waiter: Waiter, zone: Zone): void {
    const { stale, query, reply } = waiter;
    if (stale === undefined || !this.#ends(waiter)) return;
    try {
      this.#answer(stale, query, zone, reply, this.#clock.nowMs(), origin.stale);
    } catch (error) {
      this.#exception(error, reply);
    }
  }

  /** Asks upstream once for all who wait. What is refused at once is over before anybody can share it. */
  #begin(resolution: Resolution, client: string): void {
    const { query, zone } = resolution;
    zone.inFlight.add(resolution);
    this.#goesOn = true;
    const onEnd = (outcome: Outcome): void => {
      zone.inFlight.delete(resolution);
      this.#resolved(resolution, outcome);
    };
    try {
      zone.forwarder.forward(query, client, onEnd);
    } catch (error) {
      onEnd({ kind: 'broken', error });
    }
  }

  #resolved(resolution: Resolution, outcome: Outcome): void {
    const { query, zone, known, waiters } = resolution;
    let answer: Entry | Failed;
    try {
      const nowMs = this.#clock.nowMs();
      if (outcome.kind === 'broken') throw outcome.error;
      if (outcome.kind === 'failed') this.#noteFailure(query, zone, outcome, known, nowMs);
      answer = outcome.kind === 'failed' ? outcome : this.#keepAnswer(query, zone, outcome, known, nowMs);
    } catch (error) {
      this.#failed(error);
      for (const waiter of waiters) if (this.#ends(waiter)) waiter.reply.drop();
      return;
    }
    // What one of them meets costs the others nothing.
    for (const waiter of waiters) {
      try {
        if (answer instanceof Entry) this.#tell(waiter, zone, answer);
        else this.#tellFailure(waiter, zone, answer);
      } catch (error) {
        this.#exception(error, waiter.reply);
      }
    }
  }

  #tell(waiter: Waiter, zone: Zone, entry: Entry): void {
    const { query, reply, stale, startedAtMs } = waiter;
    if (stale !== undefined && isFailure(entry.rcode)) this.#giveStale(waiter, zone);
    else if (this.#ends(waiter)) this.#answer(entry, query, zone, reply, startedAtMs, origin.forwarded);
  }

  #tellFailure(waiter: Waiter, zone: Zone, { rcode, extendedError, reason }: Failed): void {
    if (waiter.stale !== undefined) {
      this.#giveStale(waiter, zone);
      return;
    }
    if (!this.#ends(waiter)) return;
    const { query, reply, startedAtMs } = waiter;
    this.#send(reply, writeEmptyAnswer(this.#out, query, rcode, extendedError, reason, origin.local));
    if (zone.logQueries) this.#logQuery(query, reply, origin.local, startedAtMs);
  }

  #ends(waiter: Waiter): boolean {
    if (!waiter.end()) return false;
    if (waiter.sharing !== undefined) this.#sharing.leave(waiter.sharing);
    bumpWait(this.#counts, this.#clock.nowMs() - waiter.startedAtMs);
    return true;
  }

  /** @param known serves on where nothing better comes */
  #noteFailure(query: PendingQuery, zone: Zone, failed: Failed, known: Entry | undefined, nowMs: number): void {
    // What we refused ourselves says nothing of the servers: the next one may ask them.
    if (failed.isOfServers) {
      if (known !== undefined) postponeRefresh(known, nowMs);
      else this.#rememberFailure(query, zone, failed.rcode, nowMs);
    }
    bump(zone.counts, failed.rcode === header.rcode.refused ? ZoneCount.refused : ZoneCount.failed);
    this.#failures.tell(zone, query.name, failed.reason, nowMs);
  }

  /** Moves what the servers said into the cache, as far as it may be there. */
  #keepAnswer(
    query: PendingQuery,
    zone: Zone,
    { message, walk }: Answered,
    known: Entry | undefined,
    nowMs: number,
  ): Entry {
    const found = zone.rebind?.check(query, message, walk, nowMs);
    if (found?.answers !== undefined) {
      this.#log.privateAnswer({ zone: zone.name, name: nameToText(query.name), ...found });
    }
    if (found?.isBlocked) return withhold(zone.cache, query, walk, zone.bounds, nowMs);
    const questionEnd = header.headerLength + query.questionLength;
    evenTtls(message, walk, questionEnd);
    boundTtls(message, walk, zone.bounds);
    const exception = zone.searchPath?.learn(query, message, walk);
    if (exception !== undefined) this.#log.exceptionOfSearchPath({ zone: zone.name, below: nameToText(exception) });
    const ofName = isAboutName(message, walk);
    if (ofName) askForAnyType(message, questionEnd);
    const seconds = cacheableSeconds(message, walk, query.type, zone.bounds);
    zone.cuts.learn(query, message, walk, seconds, nowMs);
    const entry = Entry.of(message, walk, nowMs, seconds, zone.bounds.staleSeconds, this.#passing);
    if (seconds > 0) keep(zone.cache, query, entry, ofName);
    else if (!isFailure(entry.rcode)) forget(zone.cache, query);
    else if (known !== undefined) postponeRefresh(known, nowMs);
    else this.#rememberFailure(query, zone, entry.rcode, nowMs);
    return entry;
  }

  #rememberFailure(query: PendingQuery, zone: Zone, rcode: number, nowMs: number): void {
    if (zone.bounds.maxTtlSeconds > 0) rememberFailure(zone.cache, query, rcode, zone.serveStale, nowMs);
  }

  #answer(entry: Entry, query: PendingQuery, zone: Zone, reply: Reply, startedAtMs: number, from: Origin): number {
    const limit = sizeLimit(query, reply.overTcp);
    const nowMs = from === origin.forwarded ? entry.storedAtMs : startedAtMs;
    const length = entry.write(this.#out, query, limit, nowMs, from);
    bump(zone.counts, zoneCountOf[from]);
    this.#send(reply, length);
    if (zone.logQueries) this.#logQuery(query, reply, from, startedAtMs);
    return length;
  }

  #send(reply: Reply, length: number): void {
    if (length === 0) {
      reply.drop();
      return;
    }
    const flags = header.flags(this.#out);
    this.#count(firstRcodeCount + (flags & 0xf));
    if ((flags & header.flag.truncated) !== 0) this.#count(ListenerCount.truncated);
    reply.send(this.#out, length);
  }

  #logQuery(query: PendingQuery, reply: Reply, from: Origin, startedAtMs: number): void {
    const { client, overTcp } = reply;
    const { name, type } = query;
    const rcode = header.responseCode(this.#out);
    const durationMs = this.#clock.nowMs() - startedAtMs;
    const isKept = this.#log.query({ client, overTcp, name, type, rcode, origin: from, durationMs });
    if (!isKept) this.#count(ListenerCount.unlogged);
  }

  #count(what: number): void {
    bump(this.#counts, what);
  }
}

const zoneCountOf: Record<Origin, number> = {
  [origin.forwarded]: ZoneCount.forwarded,
  [origin.cache]: ZoneCount.cache,
  [origin.stale]: ZoneCount.stale,
  [origin.local]: ZoneCount.failed,
};

/** The upstream could not say: what was known before is still the best that is known. */
function isFailure(code: number): boolean {
  return code !== header.rcode.noError && code !== header.rcode.nxDomain;
}
