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

/** The same for all queries to one destination. */
export interface RaceTerms {
  clock: Clock;
  /** The destination's name, for people. */
  destination: string;
  /** Where the client of a race is counted while it lasts. */
  shares: ClientShares;
}

/**
 * One query and the servers that may answer it. They are asked one after the other: the next when the one before fails, or stays
 * silent for longer than usual. The first good answer wins. Silence may be a lost packet, so over UDP a silent server is asked
 * again; one that said no is not. A server that was passed over for its silence, and has said nothing else since, counts as down
 * until it answers a probe.
 */
export class Race implements Receiver {
  readonly #query: DetachedQuery;
  readonly #client: string;
  readonly #order: readonly Upstream[];
  readonly #terms: RaceTerms;
  readonly #onEnd: (outcome: Outcome) => void;
  readonly #endsAtMs: number;
  /** Those of {@link #order} that are asked over UDP; known once all have had their turn. */
  #again: readonly Upstream[] | undefined;
  #turn = 0;
  #waiting = 0;
  #share: ClientShare | undefined;
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
    this.#share = this.#terms.shares.enter(this.#client);
    this.#next();
  }

  replied(upstream: Upstream, reply: Buffer, message: Buffer, overTcp: boolean): void {
    if (this.#hasEnded) return;
    try {
      this.#judge(upstream, reply, message, overTcp);
    } catch (error) {
      this.#end({ kind: 'broken', error });
    }
  }

  #judge(upstream: Upstream, reply: Buffer, message: Buffer, overTcp: boolean): void {
    if (!overTcp && (header.flags(reply) & header.flag.truncated) !== 0) {
      upstream.ask(message, this.#leftMs(), this, this.#client, true);
      return;
    }
    const code = header.responseCode(reply);
    if (hasOpt(message)) {
      // RFC 6891 §7: a server that knows no EDNS says FORMERR, without an OPT record of its own; some say NOTIMP.
      const isOfEdns = code === header.rcode.formErr || code === header.rcode.notImp;
      if (isOfEdns && header.additionalCount(reply) === 0) {
        this.#saidNoToEdns ??= new Set();
        this.#saidNoToEdns.add(upstream);
        upstream.ask(withoutOpt(message), this.#leftMs(), this, this.#client, overTcp);
        return;
      }
      upstream.answeredWithEdns();
    } else if (upstream.knowsEdns && isGood(code)) {
      if (this.#saidNoToEdns?.has(upstream)) upstream.lacksEdns();
      else upstream.answeredWithoutEdnsAlone();
    }
    this.#waiting -= 1;
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
    if (this.#hasEnded) return;
    // A server's time ends with that of the whole query, and says nothing that the silence of all does not.
    if (this.#terms.clock.nowMs() >= this.#endsAtMs) {
      this.#end(this.#unanswered());
      return;
    }
    this.#waiting -= 1;
    this.#passOver(
      upstream,
      code === 'BUDGET'
        ? notAsked(extendedError.other, reason)
        : servFail(extendedError.networkError, `${upstream.server.address}: ${reason}`),
    );
  }

  #leftMs(): number {
    return Math.max(1, this.#endsAtMs - this.#terms.clock.nowMs());
  }

  #next(): void {
    let upstream = this.#at(this.#turn);
    while (upstream !== undefined && this.#failed?.has(upstream)) {
      this.#turn += 1;
      upstream = this.#at(this.#turn);
    }
    if (upstream === undefined) {
      this.#asked = undefined;
      if (this.#waiting === 0) this.#end(this.#unanswered());
      else this.#wait(deadlineMs, this.#terms.clock.nowMs());
      return;
    }
    this.#turn += 1;
    this.#waiting += 1;
    const nowMs = this.#terms.clock.nowMs();
    this.#asked = upstream;
    this.#askedAtMs = nowMs;
    const isLast = this.#turn >= this.#order.length;
    this.#wait(isLast ? repeatMs : upstream.patienceMs, nowMs);
    const { forUpstream } = this.#query;
    const message = upstream.knowsEdns && !this.#isLastRepeat() ? forUpstream : withoutOpt(forUpstream);
    // Last, for it may fail before it returns.
    upstream.ask(message, this.#endsAtMs - nowMs, this, this.#client);
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
    return this.#again !== undefined && this.#turn > this.#order.length + (udpRepeats - 1) * this.#again.length;
  }

  /** Whose turn it is: each once, then those over UDP a few times more. */
  #at(turn: number): Upstream | undefined {
    const order = this.#order;
    if (turn < order.length) return order[turn];
    this.#again ??= order.filter(({ overTcp }) => !overTcp);
    const repeat = turn - order.length;
    return repeat < udpRepeats * this.#again.length ? this.#again[repeat % this.#again.length] : undefined;
  }

  #passOver(upstream: Upstream, outcome: Outcome): void {
    this.#failed ??= new Set();
    this.#failed.add(upstream);
    if (outcome.kind === 'answered' || this.#worst?.kind !== 'answered') this.#worst = outcome;
    this.#next();
  }

  #win(outcome: Outcome): void {
    if (this.#silent !== undefined) {
      for (const [passedOver, sinceMs] of this.#silent) passedOver.silent(this.#query.forUpstream, sinceMs);
    }
    this.#end(outcome);
  }

  #unanswered(): Outcome {
    return (
      this.#worst ?? servFail(extendedError.noReachableAuthority, `no server of ${this.#terms.destination} answered`)
    );
  }

  #end(outcome: Outcome): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#timer?.cancel();
    if (this.#share !== undefined) this.#terms.shares.leave(this.#share);
    this.#onEnd(outcome);
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
