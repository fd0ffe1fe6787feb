import type { Clock, Timer } from '../clock.ts';
import { extendedError } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import type { PendingQuery } from '../wire/query.ts';
import { type RecordWalk, walkRecords } from '../wire/records.ts';
import { hasOpt, withoutOpt, writeUpstreamQuery } from '../wire/upstream-query.ts';
import type { ExchangeError } from './exchange-error.ts';
import { notAsked, type Outcome, servFail } from './outcome.ts';
import type { Receiver, Upstream } from './upstream.ts';

/** Every query ends by then: with an answer, or with SERVFAIL. Clients give up after 5 s, and some after 2. */
export const deadlineMs = 2_000;
/** UDP loses packets: a server that has been asked already is asked again after this. */
const repeatMs = 500;
const udpRepeats = 2;

export interface RaceOptions {
  clock: Clock;
  /** The destination's name, for people. */
  destination: string;
  /** Told once, maybe before {@link Race.begin} returns; the outcome's message is used again after that. */
  onEnd: (outcome: Outcome) => void;
}

/**
 * One query and the servers that may answer it. They are asked one after the other: the next when the one before fails, or stays
 * silent for longer than usual. The first good answer wins. Silence may be a lost packet, so over UDP a silent server is asked
 * again; one that said no is not. A server that was passed over for its silence, and has said nothing else since, counts as down
 * until it answers a probe.
 */
export class Race implements Receiver {
  readonly #query: PendingQuery;
  readonly #client: string;
  readonly #order: readonly Upstream[];
  readonly #clock: Clock;
  readonly #onEnd: (outcome: Outcome) => void;
  readonly #message: Buffer;
  readonly #endsAtMs: number;
  readonly #deadline: Timer;
  /** Those of {@link #order} that are asked over UDP; known once all have had their turn. */
  #again: readonly Upstream[] | undefined;
  #turn = 0;
  #waiting = 0;
  #hedge: Timer | undefined;
  #hasEnded = false;
  /** Servers that were passed over for their silence, and when they were asked. */
  #silent: Map<Upstream, number> | undefined;
  #failed: Set<Upstream> | undefined;
  #saidNoToEdns: Set<Upstream> | undefined;
  /** What the client is told if nothing better comes. */
  #worst: Outcome | undefined;
  readonly #destination: string;

  constructor(query: PendingQuery, client: string, order: readonly Upstream[], options: RaceOptions) {
    const { clock, destination, onEnd } = options;
    this.#query = query;
    this.#client = client;
    this.#order = order;
    this.#clock = clock;
    this.#destination = destination;
    this.#onEnd = onEnd;
    this.#message = writeUpstreamQuery(query);
    this.#endsAtMs = clock.nowMs() + deadlineMs;
    this.#deadline = clock.after(deadlineMs, () => this.#end(this.#unanswered()));
  }

  begin(): void {
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
      upstream.ask(message, this.#leftMs, this, this.#client, true);
      return;
    }
    const code = header.responseCode(reply);
    if (hasOpt(message)) {
      // RFC 6891 §7: a server that knows no EDNS says FORMERR, without an OPT record of its own; some say NOTIMP.
      const isOfEdns = code === header.rcode.formErr || code === header.rcode.notImp;
      if (isOfEdns && header.additionalCount(reply) === 0) {
        this.#saidNoToEdns ??= new Set();
        this.#saidNoToEdns.add(upstream);
        upstream.ask(withoutOpt(message), this.#leftMs, this, this.#client, overTcp);
        return;
      }
      upstream.answeredWithEdns();
    } else if (upstream.knowsEdns && isGood(code)) {
      if (this.#saidNoToEdns?.has(upstream)) upstream.lacksEdns();
      else upstream.answeredWithoutEdnsAlone();
    }
    this.#waiting -= 1;
    const { question, type } = this.#query;
    const walk =
      header.questionCount(reply) === 1 ? walkRecords(reply, header.headerLength + question.length, type) : undefined;
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
    this.#waiting -= 1;
    this.#passOver(
      upstream,
      code === 'BUDGET'
        ? notAsked(extendedError.other, reason)
        : // A timeout comes too late to be told: the deadline of the whole query ends before.
          servFail(extendedError.networkError, `${upstream.server.address}: ${reason}`),
    );
  }

  get #leftMs(): number {
    return Math.max(1, this.#endsAtMs - this.#clock.nowMs());
  }

  #next(): void {
    this.#hedge?.cancel();
    let upstream = this.#at(this.#turn);
    while (upstream !== undefined && this.#failed?.has(upstream)) {
      this.#turn += 1;
      upstream = this.#at(this.#turn);
    }
    if (upstream === undefined) {
      if (this.#waiting === 0) this.#end(this.#unanswered());
      return;
    }
    this.#turn += 1;
    this.#waiting += 1;
    const asked = upstream;
    const askedAtMs = this.#clock.nowMs();
    const isLast = this.#turn >= this.#order.length;
    this.#hedge = this.#clock.after(isLast ? repeatMs : asked.patienceMs, () => {
      this.#silent ??= new Map();
      if (!this.#silent.has(asked)) this.#silent.set(asked, askedAtMs);
      this.#next();
    });
    // Last, for it may fail before it returns.
    const message = asked.knowsEdns && !this.#isLastRepeat ? this.#message : withoutOpt(this.#message);
    asked.ask(message, this.#endsAtMs - askedAtMs, this, this.#client);
  }

  /** Some servers, and what stands before them, drop what they cannot read: the last try is without EDNS. */
  get #isLastRepeat(): boolean {
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
      for (const [passedOver, sinceMs] of this.#silent) passedOver.silent(this.#message, sinceMs);
    }
    this.#end(outcome);
  }

  #unanswered(): Outcome {
    return this.#worst ?? servFail(extendedError.noReachableAuthority, `no server of ${this.#destination} answered`);
  }

  #end(outcome: Outcome): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#deadline.cancel();
    this.#hedge?.cancel();
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
