import type { Clock } from '../clock.ts';
import { extendedError } from '../wire/edns.ts';
import type { DetachedQuery } from '../wire/query.ts';
import type { ClientShares } from './client-shares.ts';
import { type Failed, notAsked, type Outcome, refused } from './outcome.ts';
import { mostSockets, Race, type RaceTerms } from './race.ts';
import type { Upstream } from './upstream.ts';
import type { UpstreamPolicy } from './upstream-policy.ts';

export interface ForwarderOptions {
  /** What the destination's servers are at the moment. */
  upstreams: readonly Upstream[];
  /** The same servers over the other transport, for when none can be asked over the first. */
  fallBack: readonly Upstream[];
  /** Of each kind one of its own: a policy knows whose turn it is. */
  policy: () => UpstreamPolicy;
  /** The queries in flight, which outlive a configuration, and how many there may be. */
  shares: ClientShares;
  /** A query was refused because its client has more than its share of them. */
  onOverShare: () => void;
  /** Of what is there so many are asked for one query at most; see {@link RaceTerms}. */
  reach: number;
  /** All that queries may open over UDP, of all forwarders together. */
  sockets: ClientShares;
  /** A query was refused because there may be no socket for it. */
  onOutOfSockets: () => void;
  clock: Clock;
  /** The destination's name, for people. */
  destination: string;
}

/** Asks the servers of one destination on behalf of one server block. */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #policy: UpstreamPolicy;
  readonly #fallBackPolicy: UpstreamPolicy;
  readonly #terms: RaceTerms;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    const { clock, destination, reach, shares, sockets, upstreams, fallBack } = options;
    const overUdp = [...upstreams, ...fallBack].filter(({ overTcp }) => !overTcp).length;
    // Where there may be fewer than one query can need, it is asked all the same, and no other beside it.
    const socketsPerRace = Math.min(mostSockets(Math.min(overUdp, reach)), sockets.bound);
    this.#terms = { clock, destination, shares, reach, sockets, socketsPerRace };
    this.#policy = options.policy();
    this.#fallBackPolicy = options.policy();
  }

  /**
   * A failure is an outcome.
   * @param client on whose behalf, by address
   * @param onEnd told once, maybe before the return; the outcome's message is used again after that
   */
  forward(query: DetachedQuery, client: string, onEnd: (outcome: Outcome) => void): void {
    const { upstreams, destination, shares } = this.#options;
    const excess = shares.excess(client);
    if (excess !== undefined) {
      onEnd(this.#refuse(excess, client));
      return;
    }
    const { sockets, socketsPerRace } = this.#terms;
    const beyond = socketsPerRace > 0 ? sockets.excess(client, socketsPerRace) : undefined;
    if (beyond !== undefined) {
      onEnd(this.#withoutSocket(beyond, client));
      return;
    }
    if (upstreams.length === 0) {
      onEnd(notAsked(extendedError.notReady, `no server of ${destination} is known`));
      return;
    }
    new Race(query, client, this.#order(), this.#terms, onEnd).begin();
  }

  #refuse(excess: 'all' | 'share', client: string): Failed {
    const { shares, destination, onOverShare } = this.#options;
    const queries = `${shares.inFlight} queries to ${destination} are in flight (maxConcurrent ${shares.bound})`;
    if (excess === 'all') return refused(queries);
    onOverShare();
    return refused(`${queries}, ${shares.heldBy(client)} of them for one client`);
  }

  #withoutSocket(excess: 'all' | 'share', client: string): Failed {
    const { sockets, onOutOfSockets } = this.#options;
    onOutOfSockets();
    const all = `queries under way may open ${sockets.inFlight} sockets over UDP, of ${sockets.bound} that there may be`;
    return refused(excess === 'all' ? all : `${all}, ${sockets.heldBy(client)} of them for one client`);
  }

  /** Over the transport that is preferred first; what is out of reach comes later over either, and what is down last. */
  #order(): readonly Upstream[] {
    const { upstreams, fallBack, reach } = this.#options;
    const preferred = this.#policy(upstreams);
    if (fallBack.length === 0) return preferred;
    const other = this.#fallBackPolicy(fallBack);
    const isUp = ({ healthy }: Upstream) => healthy;
    const isDown = ({ healthy }: Upstream) => !healthy;
    const [first, second] = [preferred.filter(isUp), other.filter(isUp)];
    return [
      ...first.slice(0, reach),
      ...second.slice(0, reach),
      ...first.slice(reach),
      ...second.slice(reach),
      ...preferred.filter(isDown),
      ...other.filter(isDown),
    ];
  }
}
