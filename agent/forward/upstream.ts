import type { Clock, Timer } from '../clock.ts';
import { maxUdpSize, typeOpt } from '../wire/edns.ts';
import type { Budget } from './budget.ts';
import { ExchangeError, type ServerAddress } from './exchange-error.ts';
import type { Transport } from './transport.ts';

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
  readonly #mayRepeat = (): boolean => {
    if (!this.#mayAsk()) return false;
    this.#count(UpstreamCount.tcpQueries);
    return true;
  };

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

  /** @param overTcp false only where this server is asked over UDP first; a truncated answer is repeated over TCP */
  async ask(message: Buffer, timeoutMs: number, client = '', overTcp = this.overTcp): Promise<Buffer> {
    if (!this.#mayAsk()) throw new ExchangeError('BUDGET', this.#budget?.exceeded ?? '');
    this.#count(overTcp ? UpstreamCount.tcpQueries : UpstreamCount.udpQueries);
    const startedAtMs = this.#clock.nowMs();
    try {
      const reply = await this.#transport.exchange(this.server, overTcp, message, timeoutMs, client, this.#mayRepeat);
      this.#succeeded(this.#clock.nowMs() - startedAtMs);
      return reply;
    } catch (error) {
      this.#count(UpstreamCount.failures);
      if (error instanceof ExchangeError && error.code === 'TIMEOUT') this.silent(message, startedAtMs);
      else this.failed(message);
      throw error;
    }
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

  #mayAsk(): boolean {
    if (this.#budget?.take() !== false) return true;
    this.#count(UpstreamCount.overBudget);
    return false;
  }

  #scheduleProbe(message: Buffer, next: Buffer): void {
    this.#probe = this.#clock.after(this.#probeDelayMs, () => {
      this.#transport.exchange(this.server, this.overTcp, message, probeTimeoutMs).then(
        () => this.#recovered(),
        () => {
          if (this.#closed || this.healthy) return;
          this.#probeDelayMs = Math.min(this.#probeDelayMs * 2, lastProbeMs);
          this.#scheduleProbe(next, message);
        },
      );
    });
  }

  #succeeded(latencyMs: number): void {
    const before = this.#smoothedMs ?? latencyMs;
    this.#smoothedMs = before + (latencyMs - before) * latencyWeight;
    this.#answeredAtMs = this.#clock.nowMs();
    this.#count(UpstreamCount.answers);
    this.#count(UpstreamCount.milliseconds, latencyMs);
    this.#recovered();
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
