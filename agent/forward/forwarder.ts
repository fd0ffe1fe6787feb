import type { Clock } from '../clock.ts';
import { extendedError } from '../wire/edns.ts';
import type { DetachedQuery } from '../wire/query.ts';
import { ClientShares } from './client-shares.ts';
import { type Failed, notAsked, type Outcome, refused } from './outcome.ts';
import { Race, type RaceTerms } from './race.ts';
import type { Upstream } from './upstream.ts';
import type { UpstreamPolicy } from './upstream-policy.ts';

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
  readonly #terms: RaceTerms;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#shares = new ClientShares(options.maxConcurrent);
    this.#terms = { clock: options.clock, destination: options.destination, shares: this.#shares };
    this.#policy = options.policy();
    this.#fallBackPolicy = options.policy();
  }

  /** Exchanges under way. */
  get inFlight(): number {
    return this.#shares.inFlight;
  }

  /**
   * A failure is an outcome.
   * @param client on whose behalf, by address
   * @param onEnd told once, maybe before the return; the outcome's message is used again after that
   */
  forward(query: DetachedQuery, client: string, onEnd: (outcome: Outcome) => void): void {
    const { upstreams, destination } = this.#options;
    const excess = this.#shares.excess(client);
    if (excess !== undefined) {
      onEnd(this.#refuse(excess, client));
      return;
    }
    if (upstreams.length === 0) {
      onEnd(notAsked(extendedError.notReady, `no server of ${destination} is known`));
      return;
    }
    new Race(query, client, this.#order(), this.#terms, onEnd).begin();
  }

  #refuse(excess: 'all' | 'share', client: string): Failed {
    const { maxConcurrent, destination, onOverShare } = this.#options;
    const queries = `queries to ${destination} are in flight (maxConcurrent ${maxConcurrent})`;
    if (excess === 'all') return refused(`${this.inFlight} ${queries}`);
    onOverShare();
    return refused(`${this.inFlight} ${queries}, ${this.#shares.heldBy(client)} of them for one client`);
  }

  /** Over the transport that is preferred first; what is down comes last, over either. */
  #order(): readonly Upstream[] {
    const { upstreams, fallBack } = this.#options;
    const preferred = this.#policy(upstreams);
    if (fallBack.length === 0) return preferred;
    const other = this.#fallBackPolicy(fallBack);
    const isUp = ({ healthy }: Upstream) => healthy;
    const isDown = ({ healthy }: Upstream) => !healthy;
    return [...preferred.filter(isUp), ...other.filter(isUp), ...preferred.filter(isDown), ...other.filter(isDown)];
  }
}
