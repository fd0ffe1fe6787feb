import type { Clock, Timer } from '../clock.ts';
import { maxUdpSize, typeOpt } from '../wire/edns.ts';
import type { Budget } from './budget.ts';
import type { ExchangeError, ServerAddress } from './exchange-error.ts';
import { type Asker, exchange, type Transport } from './transport.ts';

/** What is counted for one upstream; places in its tally. */
export const UpstreamCount = {
  udpQueries: 0,
  tcpQueries: 1,
  failures: 2,
  milliseconds: 3,
  answers: 4,
  down: 5,
  /** Not sent: the budget was used up. */
  overBudget: 6,
  /** Replies that no client can be told. */
  unusable: 7,
  /** Replies with another id or question. */
  mismatched: 8,
} as const;
export const upstreamCounts = Object.keys(UpstreamCount).length;

/** Wait before a down server is asked again, doubled up to the bound. */
const firstProbeMs = 1_000;
const lastProbeMs = 10_000;
const probeTimeoutMs = 1_000;
/**
 * `. NS`: what every server has something to say to. One that is silent about a name, as DNS firewalls are, is there for all
 * others, and one that is silent about this may still answer what it is there for.
 */
const rootServers = Buffer.concat([
  Buffer.of(0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 1),
  Buffer.of(0, 0, typeOpt, maxUdpSize >> 8, maxUdpSize & 0xff, 0, 0, 0, 0, 0, 0),
]);
/** A server is given this multiple of its usual latency before the next one is asked as well. */
const patience = 3;
const minPatienceMs = 30;
const maxPatienceMs = 250;
/** Weight of a new latency in the smoothed one (RFC 6298 §2 uses the same). */
const latencyWeight = 1 / 8;
/** A server that knows no EDNS is tried with it again after this: it may have been replaced. */
const withoutEdnsMs = 600_000;
/** So many answers without EDNS alone, with none in between, tell that it knows none. */
const answersThatTell = 2;

/** Who is told what came of one query. Exactly one is called, maybe before {@link Upstream.ask} returns. */
export interface Receiver {
  /** @param message what was asked; @param reply is used again after the return */
  replied(upstream: Upstream, reply: Buffer, message: Buffer, overTcp: boolean): void;
  failed(upstream: Upstream, code: ExchangeError['code'], reason: string): void;
}

/** One query on its way. */
class Asking implements Asker {
  readonly client: string;
  readonly startedAtMs: number;
  readonly message: Buffer;
  readonly overTcp: boolean;
  readonly receiver: Receiver;
  readonly #upstream: Upstream;

  constructor(
    upstream: Upstream,
    message: Buffer,
    receiver: Receiver,
    client: string,
    overTcp: boolean,
    nowMs: number,
  ) {
    this.#upstream = upstream;
    this.message = message;
    this.receiver = receiver;
    this.client = client;
    this.overTcp = overTcp;
    this.startedAtMs = nowMs;
  }

  answered(reply: Buffer): void {
    this.#upstream.answered(this, reply);
  }

  failed(code: ExchangeError['code'], reason: string): void {
    this.#upstream.unanswered(this, code, reason);
  }

  mismatched(): void {
    this.#upstream.sentMismatched();
  }

  mayRepeat(): boolean {
    return this.#upstream.mayRepeat(this.client);
  }
}

/**
 * One server as it is asked in one way, with what traffic has taught about it. Health outlives configuration: it is kept for as
 * long as any server block uses the server.
 */
export class Upstream {
  readonly server: ServerAddress;
  /** Or over TLS, where the server's address says so. */
  readonly overTcp: boolean;
  readonly counts: Float64Array;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #budget: Budget | undefined;
  #smoothedMs: number | undefined;
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  #probeDelayMs = 0;
  #probe: Timer | undefined;
  #closed = false;
  #withoutEdnsUntilMs = Number.NEGATIVE_INFINITY;
  /** In a row, and none with EDNS. */
  #answersWithoutEdns = 0;

  /** @param budget of the server's owner, over all of its servers */
  constructor(
    server: ServerAddress,
    overTcp: boolean,
    transport: Transport,
    clock: Clock,
    counts: Float64Array,
    budget?: Budget,
  ) {
    this.#budget = budget;
    this.server = server;
    this.overTcp = overTcp;
    this.counts = counts;
    this.#transport = transport;
    this.#clock = clock;
  }

  get healthy(): boolean {
    return this.#probeDelayMs === 0;
  }

  /** How long to wait for this server before the next one is asked as well. */
  get patienceMs(): number {
    if (this.#smoothedMs === undefined) return maxPatienceMs;
    return Math.min(maxPatienceMs, Math.max(minPatienceMs, this.#smoothedMs * patience));
  }

  /** Whether it can read a query with an OPT record, as far as is known. */
  get knowsEdns(): boolean {
    return this.#withoutEdnsUntilMs === Number.NEGATIVE_INFINITY || this.#clock.nowMs() >= this.#withoutEdnsUntilMs;
  }

  /** It answered without EDNS what it could not read with it (RFC 6891 §7). */
  lacksEdns(): void {
    this.#withoutEdnsUntilMs = this.#clock.nowMs() + withoutEdnsMs;
    this.#answersWithoutEdns = 0;
  }

  answeredWithEdns(): void {
    this.#answersWithoutEdns = 0;
  }

  /** It was silent to the same question with EDNS: where that is so again, and never otherwise, no packets were lost. */
  answeredWithoutEdnsAlone(): void {
    this.#answersWithoutEdns += 1;
    if (this.#answersWithoutEdns >= answersThatTell) this.lacksEdns();
  }

  /** What it sent cannot be told to a client. */
  sentUnusable(): void {
    this.#count(UpstreamCount.unusable);
  }

  sentMismatched(): void {
    this.#count(UpstreamCount.mismatched);
  }

  /** @param overTcp false only where this server is asked over UDP first; a truncated answer is repeated over TCP */
  ask(message: Buffer, timeoutMs: number, receiver: Receiver, client: string, overTcp = this.overTcp): void {
    if (!this.#mayAsk(client)) {
      receiver.failed(this, 'BUDGET', this.#budget?.exceeded ?? '');
      return;
    }
    this.#count(overTcp ? UpstreamCount.tcpQueries : UpstreamCount.udpQueries);
    const asking = new Asking(this, message, receiver, client, overTcp, this.#clock.nowMs());
    this.#transport.ask(this.server, overTcp, message, timeoutMs, asking);
  }

  answered({ startedAtMs, message, overTcp, receiver }: Asking, reply: Buffer): void {
    this.#succeeded(startedAtMs, this.#clock.nowMs());
    receiver.replied(this, reply, message, overTcp);
  }

  unanswered({ startedAtMs, message, overTcp, receiver }: Asking, code: ExchangeError['code'], reason: string): void {
    this.#count(UpstreamCount.failures);
    // Asked over UDP it is there: that a long answer cannot be had over TCP says nothing of all others.
    if (overTcp === this.overTcp) {
      if (code === 'TIMEOUT') this.silent(message, startedAtMs);
      else this.failed(message);
    }
    receiver.failed(this, code, reason);
  }

  mayRepeat(client: string): boolean {
    if (!this.#mayAsk(client)) return false;
    this.#count(UpstreamCount.tcpQueries);
    return true;
  }

  /**
   * A query of `askedAtMs` is still unanswered. A server that has answered another one since then is not down: a packet was
   * lost, or the name is slow to find out about.
   */
  silent(message: Buffer, askedAtMs: number): void {
    if (this.#answeredAtMs <= askedAtMs) this.failed(message);
  }

  /** Marks the server as down and probes it until it answers: with the query that it left unanswered, and with another, in turns. */
  failed(message: Buffer): void {
    if (this.#closed || !this.healthy) return;
    this.#probeDelayMs = firstProbeMs;
    this.counts[UpstreamCount.down] = 1;
    this.#scheduleProbe(message, rootServers);
  }

  /** Nobody asks it any more: it is not watched, and counts as up. */
  close(): void {
    this.#closed = true;
    this.#recovered();
  }

  #mayAsk(client: string): boolean {
    if (this.#budget === undefined || this.#budget.take(client)) return true;
    this.#count(UpstreamCount.overBudget);
    return false;
  }

  #scheduleProbe(message: Buffer, next: Buffer): void {
    this.#probe = this.#clock.after(this.#probeDelayMs, () => {
      exchange(this.#transport, this.server, this.overTcp, message, probeTimeoutMs).then(
        () => this.#recovered(),
        () => {
          if (this.#closed || this.healthy) return;
          this.#probeDelayMs = Math.min(this.#probeDelayMs * 2, lastProbeMs);
          this.#scheduleProbe(next, message);
        },
      );
    });
  }

  #succeeded(startedAtMs: number, nowMs: number): void {
    const latencyMs = nowMs - startedAtMs;
    const before = this.#smoothedMs ?? latencyMs;
    this.#smoothedMs = before + (latencyMs - before) * latencyWeight;
    this.#answeredAtMs = nowMs;
    this.#count(UpstreamCount.answers);
    this.#count(UpstreamCount.milliseconds, latencyMs);
    if (!this.healthy) this.#recovered();
  }

  #recovered(): void {
    this.#probe?.cancel();
    this.#probeDelayMs = 0;
    this.counts[UpstreamCount.down] = 0;
  }

  #count(what: number, by = 1): void {
    this.counts[what] = (this.counts[what] ?? 0) + by;
  }
}
