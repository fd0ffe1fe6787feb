/** What clients have under way over TCP, and the bounds on it: of one connection, of one client, and of all of them together. */
import { type Clock, systemClock } from '../clock.ts';
import { TcpTurns } from './tcp-turns.ts';

export interface TcpBounds {
  /**
   * RFC 7766 §6.2.3: idle connections close after some seconds. A query that has begun has as long to be whole, and a client as
   * long to take the answers that wait for it.
   */
  idleTimeoutMs: number;
  /** The same, once the listener closes. */
  drainIdleMs: number;
  /** RFC 7766 §6.2.2: bounds on connections, in all and per client, so that none of them starves the others. */
  maxConnections: number;
  maxConnectionsPerClient: number;
  /** Answers that slow readers leave waiting; over it nothing more is taken from those who do not read. */
  maxBacklogBytes: Bound;
  /** Queries that wait for an upstream; over it nothing more is taken from those who have such. */
  maxWaiting: Bound;
  /** Queries of which a part has come, in all; over it a connection with a long one is closed. */
  maxPartBytes: number;
  /** Queries that are taken in one turn of the loop. */
  takenPerTurn: number;
}

interface Bound {
  connection: number;
  client: number;
  all: number;
}

const usualBounds: TcpBounds = {
  idleTimeoutMs: 10_000,
  drainIdleMs: 100,
  maxConnections: 1_000,
  maxConnectionsPerClient: 100,
  maxBacklogBytes: { connection: 1 << 20, client: 4 << 20, all: 16 << 20 },
  maxWaiting: { connection: 256, client: 2_048, all: 16_384 },
  maxPartBytes: 8 << 20,
  takenPerTurn: 256,
};

/**
 * What was taken while there was room may find none: so many times the bounds on the backlog are kept for its answers. A client
 * that reads has them long before, and what was answered as it was taken never gets there.
 */
const keptBacklogs = 2;

/** Queries are shorter than this, but for those that are made to be long. */
export const longPartBytes = 4_096;

/** Of one client, or of all. */
export interface Load {
  connections: number;
  waiting: number;
  backlogBytes: number;
  partBytes: number;
}

const noLoad: Load = { connections: 0, waiting: 0, backlogBytes: 0, partBytes: 0 };

/** A connection as the others see it. */
export interface Sharer {
  readonly client: Load;
  /** Nothing of it is under way. */
  readonly isIdle: boolean;
  /** Grows from query to query, over all connections. */
  readonly usedAt: number;
  giveWay(): void;
}

/** One for all listeners of the agent: what one of them holds the others have not. */
export class TcpLoad {
  readonly bounds: TcpBounds;
  readonly clock: Clock;
  readonly turns: TcpTurns;
  readonly all: Load = { ...noLoad };
  readonly #clients = new Map<string, Load>();
  readonly #connections = new Set<Sharer>();
  #uses = 0;

  constructor(changes: Partial<TcpBounds> = {}, clock: Clock = systemClock) {
    this.clock = clock;
    this.bounds = { ...usualBounds, ...changes };
    this.turns = new TcpTurns(this.bounds.takenPerTurn);
  }

  /**
   * Why a client may have no further connection. Idle connections give way (RFC 7766 §6.2.3): where something is under way on
   * all of them, the newcomer is refused.
   */
  refusal(address: string): 'refusedPerClient' | 'refusedInAll' | undefined {
    const client = this.#clients.get(address);
    const isClientFull = client !== undefined && client.connections >= this.bounds.maxConnectionsPerClient;
    if (!isClientFull && this.#connections.size < this.bounds.maxConnections) return undefined;
    const idlest = this.#idlest(isClientFull ? client : undefined);
    idlest?.giveWay();
    if (idlest !== undefined) return undefined;
    return isClientFull ? 'refusedPerClient' : 'refusedInAll';
  }

  /** Of those that do nothing one of the client that has most connections, and of these the one that was used longest ago. */
  #idlest(of: Load | undefined): Sharer | undefined {
    let found: Sharer | undefined;
    for (const one of this.#connections) {
      if (!one.isIdle || (of !== undefined && one.client !== of)) continue;
      const more = one.client.connections - (found?.client.connections ?? 0);
      if (found === undefined || more > 0 || (more === 0 && one.usedAt < found.usedAt)) found = one;
    }
    return found;
  }

  clientAt(address: string): Load {
    let client = this.#clients.get(address);
    if (client === undefined) {
      client = { ...noLoad };
      this.#clients.set(address, client);
    }
    return client;
  }

  add(connection: Sharer): void {
    connection.client.connections += 1;
    this.#connections.add(connection);
  }

  remove(connection: Sharer, address: string): void {
    if (!this.#connections.delete(connection)) return;
    connection.client.connections -= 1;
    this.#forgetIfGone(connection.client, address);
  }

  wait({ client }: Sharer, address: string, more: number): void {
    client.waiting += more;
    this.all.waiting += more;
    if (client.connections === 0) this.#forgetIfGone(client, address);
  }

  /** What its connections have left under way is under way yet: whoever connects anew has no more for it. */
  #forgetIfGone(client: Load, address: string): void {
    if (client.connections === 0 && client.waiting === 0) this.#clients.delete(address);
  }

  /**
   * Whether a further answer may wait, for a client on whose connection so many octets wait already. No client has more than half
   * of what it leaves to all: some who do not read leave room for one that is merely slow.
   */
  keeps(client: Load, backlogBytes: number): boolean {
    if (backlogBytes === 0) return true;
    const { connection, client: share, all } = this.bounds.maxBacklogBytes;
    const leftBytes = all * keptBacklogs - this.all.backlogBytes;
    return (
      backlogBytes <= connection * keptBacklogs &&
      client.backlogBytes <= share * keptBacklogs &&
      client.backlogBytes <= leftBytes / 2
    );
  }

  use(): number {
    this.#uses += 1;
    return this.#uses;
  }
}
