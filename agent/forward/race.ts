import type { Clock, Timer } from '../clock.ts';
import { extendedError } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import type { DetachedQuery } from '../wire/query.ts';
import { type RecordWalk, walkRecords } from '../wire/records.ts';
import { hasOpt, withoutOpt } from '../wire/upstream-query.ts';
import type { ClientShare, ClientShares } from './client-shares.ts';
import type { ExchangeError } from './exchange-error.ts';
import { notAsked, type Outcome, servFail } from './outcome.ts';
import type { Receiver, Upstream } from './upstream.ts';

/** Every query ends by then: with an answer, or with SERVFAIL. Clients give up after 5 s, and some after 2. */
export const deadlineMs = 2_000;
/** UDP loses packets: a server that has been asked already is asked again after this. */
const repeatMs = 500;
const udpRepeats = 2;

/**
 * That one query may have open over UDP, each for one server's turn or for a repeat. A turn that comes early, for another server
 * has failed, has the place of that one's socket; so beside one for each server there are as many as repeats fit into the time.
 */
export function mostSockets(servers: number): number {
  return servers + Math.min(servers * udpRepeats, Math.ceil(deadlineMs / repeatMs));
}

/** The same for all queries to one destination. */
export interface RaceTerms {
  clock: Clock;
  /** The destination's name, for people. */
  destination: string;
  /** Where the client of a race is counted while it lasts. */
  shares: ClientShares;
  /**
   * So many servers are asked over each transport, beside those that cannot be reached: what one client asks must not become as
   * many queries as there are servers.
   */
  reach: number;
  /** Where the sockets that a race may open over UDP are counted until they are closed. */
  sockets: ClientShares;
  socketsPerRace: number;
}

/**
 * One query and the servers that may answer it. They are asked one after the other: the next when the one before fails, or stays
 * silent for longer than usual. The first good answer wins. Silence may be a lost packet, so over UDP a silent server is asked
 * again; one that said no is not, in whatever way. A server that was passed over for its silence, and has said nothing else since,
 * counts as down until it answers a probe: it is asked once nobody else is left, or they have been silent for long.
 */
export class Race implements Receiver {
  readonly #query: DetachedQuery;
  readonly #client: string;
  readonly #order: readonly Upstream[];
  readonly #terms: RaceTerms;
  readonly #onEnd: (outcome: Outcome) => void;
  readonly #endsAtMs: number;
  /** Those that were asked over UDP. */
  #again: Upstream[] | undefined;
  /** Of {@link #order}, and of {@link #again}. */
  #turn = 0;
  #repeats = 0;
  /** Servers that were asked, but for those that cannot be reached. */
  #overUdp = 0;
  #overTcp = 0;
  #isReached = false;
  #waiting = 0;
  /** Exchanges whose end has not been told. */
  #exchanges = 0;
  #share: ClientShare | undefined;
  #sockets: ClientShare | undefined;
  /** That are still open after the end. */
  #socketsLeft = 0;
  /** For the next server's turn, or for the end of all. */
  #timer: Timer | undefined;
  /** Who had the last turn, and when. */
  #asked: Upstream | undefined;
  #askedAtMs = 0;
  #hasEnded = false;
  /** Servers that were passed over for their silence, and when they were asked. */
  #silent: Map<Upstream, number> | undefined;
  #failed: Set<Upstream> | undefined;
  #saidNoToEdns: Set<Upstream> | undefined;
  /** What the client is told if nothing better comes. */
  #worst: Outcome | undefined;
  /** Why a server was not asked whose turn it was. */
  #notAsked: Outcome | undefined;
  /** Turns in which a server was asked; without one whose reply wants another query, for which there was no budget. */
  #sent = 0;

  /** @param onEnd told once, maybe before {@link begin} returns; the outcome's message is used again after that */
  constructor(
    query: DetachedQuery,
    client: string,
    order: readonly Upstream[],
    terms: RaceTerms,
    onEnd: (outcome: Outcome) => void,
  ) {
    this.#query = query;
    this.#client = client;
    this.#order = order;
    this.#terms = terms;
    this.#onEnd = onEnd;
    this.#endsAtMs = terms.clock.nowMs() + deadlineMs;
  }

  begin(): void {
    const { shares, sockets, socketsPerRace } = this.#terms;
    this.#share = shares.enter(this.#client);
    if (socketsPerRace > 0) this.#sockets = sockets.enter(this.#client, socketsPerRace);
    this.#next();
  }

  replied(upstream: Upstream, reply: Buffer, message: Buffer, overTcp: boolean): void {
    if (this.#isOver()) return;
    this.#isReached = true;
    try {
      this.#judge(upstream, reply, message, overTcp);
    } catch (error) {
      this.#end({ kind: 'broken', error });
    }
  }

  #judge(upstream: Upstream, reply: Buffer, message: Buffer, overTcp: boolean): void {
    if (!overTcp && (header.flags(reply) & header.flag.truncated) !== 0) {
      this.#ask(upstream, message, true);
      return;
    }
    const code = header.responseCode(reply);
    if (hasOpt(message)) {
      // RFC 6891 §7: a server that knows no EDNS says FORMERR, without an OPT record of its own; some say NOTIMP.
      const isOfEdns = code === header.rcode.formErr || code === header.rcode.notImp;
      if (isOfEdns && header.additionalCount(reply) === 0) {
        this.#saidNoToEdns ??= new Set();
        this.#saidNoToEdns.add(upstream);
        this.#ask(upstream, withoutOpt(message), overTcp);
        return;
      }
      upstream.answeredWithEdns();
    } else if (upstream.knowsEdns && isGood(code)) {
      if (this.#saidNoToEdns?.has(upstream)) upstream.lacksEdns();
      else upstream.answeredWithoutEdnsAlone();
    }
    this.#waiting -= 1;
    if (!isGood(code)) this.#refusedBy(upstream);
    const { questionLength, type } = this.#query;
    const walk =
      header.questionCount(reply) === 1 ? walkRecords(reply, header.headerLength + questionLength, type) : undefined;
    const unusable = whyUnusable(reply, walk);
    if (walk === undefined || unusable !== undefined) {
      upstream.sentUnusable();
      this.#passOver(upstream, servFail(extendedError.networkError, `${upstream.server.address} sent ${unusable}`));
      return;
    }
    const outcome: Outcome = { kind: 'answered', message: reply, walk };
    if (isGood(code)) this.#win(outcome);
    // What it says is kept, for the buffer is not.
    else this.#passOver(upstream, { ...outcome, message: Buffer.from(reply) });
  }

  failed(upstream: Upstream, code: ExchangeError['code'], reason: string): void {
    if (this.#isOver()) return;
    if (code === 'BUDGET') {
      this.#sent -= 1;
      this.#notAsked = notAsked(extendedError.other, reason);
    }
    // A server's time ends with that of the whole query, and says nothing that the silence of all does not.
    if (this.#terms.clock.nowMs() >= this.#endsAtMs) {
      this.#end(this.#unanswered());
      return;
    }
    this.#waiting -= 1;
    if (code === 'NETWORK' && !this.#isReached) this.#count(upstream, -1);
    if (code === 'BUDGET') this.#passOver(upstream, undefined);
    else this.#passOver(upstream, servFail(extendedError.networkError, `${upstream.server.address}: ${reason}`));
  }

  /** One exchange has ended. What of it is left behind the end of all is the socket. */
  #isOver(): boolean {
    this.#exchanges -= 1;
    if (this.#hasEnded && this.#sockets !== undefined && this.#socketsLeft > 0) {
      this.#socketsLeft -= 1;
      this.#terms.sockets.leave(this.#sockets);
    }
    return this.#hasEnded;
  }

  /** Last in whatever is done, for it may fail before it returns. */
  #ask(upstream: Upstream, message: Buffer, overTcp = upstream.overTcp): void {
    this.#exchanges += 1;
    const leftMs = Math.max(1, this.#endsAtMs - this.#terms.clock.nowMs());
    upstream.ask(message, leftMs, this, this.#client, overTcp);
  }

  #next(): void {
    const upstream = this.#take();
    const nowMs = this.#terms.clock.nowMs();
    this.#asked = upstream;
    if (upstream === undefined) {
      if (this.#waiting === 0) this.#end(this.#unanswered());
      else this.#wait(deadlineMs, nowMs);
      return;
    }
    this.#waiting += 1;
    this.#sent += 1;
    this.#askedAtMs = nowMs;
    this.#wait(this.#mayAsk(this.#unasked()) ? upstream.patienceMs : repeatMs, nowMs);
    const { forUpstream } = this.#query;
    this.#ask(upstream, upstream.knowsEdns && !this.#isLastRepeat() ? forUpstream : withoutOpt(forUpstream));
  }

  /** Whose turn it is: each once, then those over UDP a few times more; those that are down before, or behind all where others may answer. */
  #take(): Upstream | undefined {
    const unasked = this.#unasked();
    const upstream = this.#mayAsk(unasked) ? unasked : (this.#repeat() ?? unasked);
    if (upstream === undefined || upstream !== unasked) return upstream;
    this.#turn += 1;
    this.#count(upstream, 1);
    if (!upstream.overTcp) {
      this.#again ??= [];
      this.#again.push(upstream);
    }
    return upstream;
  }

  /** The next that has not been asked. Where there is no room for it there may be later, and it stays the next. */
  #unasked(): Upstream | undefined {
    const { reach } = this.#terms;
    let upstream = this.#order[this.#turn];
    while (upstream !== undefined && this.#failed?.has(upstream)) {
      this.#turn += 1;
      upstream = this.#order[this.#turn];
    }
    const isFull = (upstream?.overTcp ? this.#overTcp : this.#overUdp) >= reach;
    return isFull ? undefined : upstream;
  }

  /** What is down has its turn once no other can be waited for. */
  #mayAsk(upstream: Upstream | undefined): boolean {
    if (upstream === undefined || upstream.healthy) return upstream !== undefined;
    for (let turn = 0; turn < this.#turn; turn += 1) {
      const asked = this.#order[turn] as Upstream;
      if (asked.healthy && !this.#failed?.has(asked)) return false;
    }
    return true;
  }

  #repeat(): Upstream | undefined {
    const again = this.#again ?? [];
    while (this.#repeats < udpRepeats * again.length) {
      const upstream = again[this.#repeats % again.length] as Upstream;
      this.#repeats += 1;
      if (!this.#failed?.has(upstream)) return upstream;
    }
    return undefined;
  }

  #count({ overTcp }: Upstream, by: number): void {
    if (overTcp) this.#overTcp += by;
    else this.#overUdp += by;
  }

  /** It would say the same over another transport. */
  #refusedBy({ server }: Upstream): void {
    this.#failed ??= new Set();
    for (const other of this.#order) {
      if (other.server.address === server.address && other.server.port === server.port) this.#failed.add(other);
    }
  }

  /** One timer for both: to set one costs more than to look at the time when it goes off. */
  #wait(delayMs: number, nowMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#terms.clock.after(Math.min(delayMs, this.#endsAtMs - nowMs), () => this.#timeIsUp());
  }

  #timeIsUp(): void {
    const [asked, askedAtMs] = [this.#asked, this.#askedAtMs];
    if (asked === undefined || this.#terms.clock.nowMs() >= this.#endsAtMs) {
      this.#end(this.#unanswered());
      return;
    }
    this.#silent ??= new Map();
    if (!this.#silent.has(asked)) this.#silent.set(asked, askedAtMs);
    this.#next();
  }

  /** Some servers, and what stands before them, drop what they cannot read: the last try is without EDNS. */
  #isLastRepeat(): boolean {
    return this.#again !== undefined && this.#repeats > (udpRepeats - 1) * this.#again.length;
  }

  /** @param outcome of the server; undefined where it was not asked */
  #passOver(upstream: Upstream, outcome: Outcome | undefined): void {
    this.#failed ??= new Set();
    this.#failed.add(upstream);
    if (outcome?.kind === 'answered' || this.#worst?.kind !== 'answered') this.#worst = outcome ?? this.#worst;
    this.#next();
  }

  #win(outcome: Outcome): void {
    if (this.#silent !== undefined) {
      for (const [passedOver, sinceMs] of this.#silent) passedOver.silent(this.#query.forUpstream, sinceMs);
    }
    this.#end(outcome);
  }

  /** What our own bounds held back says nothing of servers, and hides nothing that one of them did or left undone (RFC 9520). */
  #unanswered(): Outcome {
    if (this.#worst !== undefined) return this.#worst;
    if (this.#sent === 0 && this.#notAsked !== undefined) return this.#notAsked;
    return servFail(extendedError.noReachableAuthority, `no server of ${this.#terms.destination} answered`);
  }

  #end(outcome: Outcome): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#timer?.cancel();
    if (this.#share !== undefined) this.#terms.shares.leave(this.#share);
    this.#leaveSockets();
    this.#onEnd(outcome);
  }

  /** All but those of servers that may answer yet. */
  #leaveSockets(): void {
    const { sockets, socketsPerRace } = this.#terms;
    if (this.#sockets === undefined) return;
    this.#socketsLeft = Math.min(this.#exchanges, socketsPerRace);
    sockets.leave(this.#sockets, socketsPerRace - this.#socketsLeft);
  }
}

/** Why no client can be told this reply; undefined if it can. */
function whyUnusable(reply: Buffer, walk: RecordWalk | undefined): string | undefined {
  if (walk === undefined) return 'a malformed answer';
  // It has been asked over TCP by now, where all of it has room: to a client it would look whole.
  if ((header.flags(reply) & header.flag.truncated) !== 0) return 'a truncated answer over TCP';
  // It is about our OPT record, not the client's; its lower bits alone may read as NOERROR.
  if (walk.extendedRcode !== 0) return `the response code ${walk.extendedRcode * 16 + header.responseCode(reply)}`;
  return undefined;
}

/** What says something about the name; SERVFAIL, REFUSED and the like say something about the server. */
function isGood(code: number): boolean {
  return code === header.rcode.noError || code === header.rcode.nxDomain;
}
