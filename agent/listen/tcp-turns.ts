/**
 * How much is taken over TCP in one turn of the loop. A client that asks on and on has its answers from the cache at once, so that
 * nothing of its own ever waits: without a bound it would be served for as long as it sends, and datagrams of all others would find
 * their buffer full.
 */
import { atOneTime } from '../clock.ts';

/** Queries of a client that asks on, before the next client is served: so many clients have something in each turn. */
const clientsPerTurn = 16;
/** So many octets that come or go cost about what a query does: 4 KiB. */
const octetsBits = 12;

/** A connection that is held up. */
export interface Taker {
  readonly client: object;
  /** Takes on, or says anew that it is held up. */
  goOn(): void;
}

/** One for all connections. */
export class TcpTurns {
  readonly #perTurn: number;
  readonly #share: number;
  #left: number;
  /** Of what is left this is for others. */
  #kept = 0;
  /** By client, in the order in which they go on; each has some. */
  readonly #held = new Map<object, Set<Taker>>();
  #next: NodeJS.Immediate | undefined;
  readonly #goOn = () => this.#beginTurn();

  constructor(perTurn: number) {
    this.#perTurn = perTurn;
    this.#share = Math.ceil(perTurn / clientsPerTurn);
    this.#left = perTurn;
  }

  get isSpent(): boolean {
    return this.#left <= this.#kept;
  }

  /** A query; false where it is to stay for later. */
  take(): boolean {
    if (this.#left <= this.#kept) return false;
    this.#left -= 1;
    return true;
  }

  /** Octets that came, or go. */
  spend(octets: number): void {
    this.#left -= octets >> octetsBits;
  }

  /** It goes on in the next turn, or one of those after it. */
  hold(taker: Taker): void {
    const others = this.#held.get(taker.client);
    if (others === undefined) this.#held.set(taker.client, new Set([taker]));
    else others.add(taker);
    // Nobody counts turns in which there is enough for all: what is left of one is had in the next.
    this.#next ??= setImmediate(() => atOneTime(this.#goOn));
  }

  /** It is no more. */
  release(taker: Taker): void {
    const others = this.#held.get(taker.client);
    others?.delete(taker);
    if (others?.size === 0) this.#held.delete(taker.client);
  }

  #beginTurn(): void {
    this.#next = undefined;
    this.#left = this.#perTurn;
    for (const [client, takers] of this.#held) {
      if (this.#left <= 0) break;
      const first = takers.values().next().value as Taker;
      takers.delete(first);
      // Behind all others, where this loop comes to it again.
      this.#held.delete(client);
      if (takers.size > 0) this.#held.set(client, takers);
      this.#kept = Math.max(0, this.#left - this.#share);
      first.goOn();
    }
    this.#kept = 0;
    if (this.#held.size > 0) this.#next ??= setImmediate(() => atOneTime(this.#goOn));
  }
}
