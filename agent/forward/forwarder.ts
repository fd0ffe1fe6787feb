import type { Clock, Timer } from '../clock.ts';
import { writeUpstreamQuery } from '../wire/answer.ts';
import { extendedError } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import type { PendingQuery } from '../wire/query.ts';
import { type RecordWalk, walkRecords } from '../wire/records.ts';
import { ClientShares } from './client-shares.ts';
import { ExchangeError } from './exchange-error.ts';
import type { Upstream } from './upstream.ts';
import type { UpstreamPolicy } from './upstream-policy.ts';

/** Every query ends by then: with an answer, or with SERVFAIL. Clients give up after 5 s, and some after 2. */
export const deadlineMs = 2_000;
/** UDP loses packets: a server that has been asked already is asked again after this. */
const repeatMs = 500;
const udpRounds = 3;

export interface Answered {
  kind: 'answered';
  message: Buffer;
  walk: RecordWalk;
}

/** No answer: what the client is told instead (RFC 8914 §4). */
export interface Failed {
  kind: 'failed';
  rcode: number;
  extendedError: number;
  /** For people. */
  reason: string;
  /** What the servers did, or did not; not that nobody was asked. */
  isOfServers: boolean;
}

export type Outcome = Answered | Failed;

export interface ForwarderOptions {
  /** What the destination's servers are at the moment. */
  upstreams: readonly Upstream[];
  /** The same servers over the other transport, for when none can be asked over the first. */
  fallBack: readonly Upstream[];
  /** Of each kind one of its own: a policy knows whose turn it is. */
  policy: () => UpstreamPolicy;
  /** Upstream queries in flight at most; 0 for no bound. */
  maxConcurrent: number;
  /** A query was refused because its client has more than its share of them. */
  onOverShare: () => void;
  clock: Clock;
  /** The destination's name, for people. */
  destination: string;
}

/** Asks the servers of one destination on behalf of one server block. */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #policy: UpstreamPolicy;
  readonly #fallBackPolicy: UpstreamPolicy;
  readonly #shares: ClientShares;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#shares = new ClientShares(options.maxConcurrent);
    this.#policy = options.policy();
    this.#fallBackPolicy = options.policy();
  }

  /** Exchanges under way. */
  get inFlight(): number {
    return this.#shares.inFlight;
  }

  /** Never rejects: a failure is an outcome. @param client on whose behalf, by address */
  async forward(query: PendingQuery, client: string): Promise<Outcome> {
    const { upstreams, destination } = this.#options;
    const excess = this.#shares.excess(client);
    if (excess !== undefined) return this.#refuse(excess, client);
    if (upstreams.length === 0) {
      return failed(header.rcode.servFail, extendedError.notReady, `no server of ${destination} is known`, false);
    }
    this.#shares.enter(client);
    try {
      return await this.#race(query, client);
    } finally {
      this.#shares.leave(client);
    }
  }

  #refuse(excess: 'all' | 'share', client: string): Failed {
    const { maxConcurrent, destination, onOverShare } = this.#options;
    const queries = `queries to ${destination} are in flight (maxConcurrent ${maxConcurrent})`;
    if (excess === 'all') return refused(`${this.inFlight} ${queries}`);
    onOverShare();
    return refused(`${this.inFlight} ${queries}, ${this.#shares.heldBy(client)} of them for one client`);
  }

  /**
   * The servers are asked one after the other: the next when the one before fails, or stays silent for longer than usual. The
   * first good answer wins. Silence may be a lost packet, so over UDP a silent server is asked again; one that said no is not. A
   * server that was passed over for its silence, and has said nothing else since, counts as down until it answers a probe.
   */
  #race(query: PendingQuery, client: string): Promise<Outcome> {
    const { clock, destination } = this.#options;
    const message = writeUpstreamQuery(query);
    const order = this.#order();
    const again = order.filter(({ overTcp }) => !overTcp);
    const turns = [...order, ...Array.from({ length: udpRounds - 1 }, () => again).flat()];
    return new Promise((resolve) => {
      const endsAtMs = clock.nowMs() + deadlineMs;
      /** Servers that were passed over for their silence, and when they were asked. */
      const silent = new Map<Upstream, number>();
      const failedAlready = new Set<Upstream>();
      let outcome: Outcome = servFail(extendedError.noReachableAuthority, `no server of ${destination} answered`);
      let turn = 0;
      let waiting = 0;
      let ended = false;
      let hedge: Timer | undefined;
      const end = (result: Outcome) => {
        ended = true;
        deadline.cancel();
        hedge?.cancel();
        resolve(result);
      };
      const deadline = clock.after(deadlineMs, () => end(outcome));
      const next = () => {
        hedge?.cancel();
        while (turn < turns.length && failedAlready.has(turns[turn] as Upstream)) turn += 1;
        const upstream = turns[turn];
        if (upstream === undefined) {
          if (waiting === 0) end(outcome);
          return;
        }
        turn += 1;
        waiting += 1;
        const askedAtMs = clock.nowMs();
        hedge = clock.after(turn < order.length ? upstream.patienceMs : repeatMs, () => {
          if (!silent.has(upstream)) silent.set(upstream, askedAtMs);
          next();
        });
        this.#ask(upstream, query, message, endsAtMs, client).then((result) => {
          waiting -= 1;
          if (ended) return;
          if (isGood(result)) {
            for (const [passedOver, sinceMs] of silent) passedOver.silent(message, sinceMs);
            end(result);
            return;
          }
          failedAlready.add(upstream);
          if (result.kind === 'answered' || outcome.kind === 'failed') outcome = result;
          next();
        });
      };
      next();
    });
  }

  /** Over the transport that is preferred first; what is down comes last, over either. */
  #order(): Upstream[] {
    const { upstreams, fallBack } = this.#options;
    const preferred = this.#policy(upstreams);
    if (fallBack.length === 0) return preferred;
    const other = this.#fallBackPolicy(fallBack);
    const isUp = ({ healthy }: Upstream) => healthy;
    const isDown = ({ healthy }: Upstream) => !healthy;
    return [...preferred.filter(isUp), ...other.filter(isUp), ...preferred.filter(isDown), ...other.filter(isDown)];
  }

  async #ask(
    upstream: Upstream,
    query: PendingQuery,
    message: Buffer,
    endsAtMs: number,
    client: string,
  ): Promise<Outcome> {
    const { clock } = this.#options;
    try {
      let reply = await upstream.ask(message, endsAtMs - clock.nowMs(), client);
      if (!upstream.overTcp && (header.flags(reply) & header.flag.truncated) !== 0) {
        reply = await upstream.ask(message, Math.max(1, endsAtMs - clock.nowMs()), client, true);
      }
      const walk =
        header.questionCount(reply) === 1
          ? walkRecords(reply, header.headerLength + query.question.length, query.type)
          : undefined;
      const unusable = whyUnusable(reply, walk);
      if (walk === undefined || unusable !== undefined) {
        return servFail(extendedError.networkError, `${upstream.server.address} sent ${unusable}`);
      }
      return { kind: 'answered', message: reply, walk };
    } catch (error) {
      if (error instanceof ExchangeError && error.code === 'BUDGET') {
        return failed(header.rcode.servFail, extendedError.other, error.message, false);
      }
      // A timeout comes too late to be told: the deadline of the whole query ends before.
      return servFail(extendedError.networkError, `${upstream.server.address}: ${(error as Error).message}`);
    }
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
function isGood(outcome: Outcome): boolean {
  if (outcome.kind === 'failed') return false;
  const code = header.responseCode(outcome.message);
  return code === header.rcode.noError || code === header.rcode.nxDomain;
}

function servFail(info: number, reason: string): Failed {
  return failed(header.rcode.servFail, info, reason, true);
}

function refused(reason: string): Failed {
  return failed(header.rcode.refused, extendedError.other, reason, false);
}

function failed(rcode: number, info: number, reason: string, isOfServers: boolean): Failed {
  return { kind: 'failed', rcode, extendedError: info, reason, isOfServers };
}
