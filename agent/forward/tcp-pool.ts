import type { Clock } from '../clock.ts';
import { ExchangeError, type ServerAddress } from './exchange-error.ts';
import { type Outgoing, unmarked } from './outgoing.ts';
import { TcpConnection } from './tcp-connection.ts';
import { TlsSessions } from './tls-sessions.ts';

/** CoreDNS answers one connection serially, so a few connections serve better than one deep pipeline. */
const maxConnections = 4;
/** With fewer queries than this ahead, one connection is shared rather than another one opened. */
const sharedBelow = 8;

/** Connections to one upstream server, opened on demand and closed when idle. */
class TcpPool {
  readonly #server: ServerAddress;
  readonly #clock: Clock;
  readonly #outgoing: Outgoing;
  readonly #sessions = new TlsSessions();
  readonly #connections = new Set<TcpConnection>();
  /** Were open when another one was lost: they may be as dead and not know it yet, so nothing new is sent over them. */
  readonly #suspect = new WeakSet<TcpConnection>();

  constructor(server: ServerAddress, clock: Clock, outgoing: Outgoing) {
    this.#server = server;
    this.#clock = clock;
    this.#outgoing = outgoing;
  }

  /** A connection that is lost under a query costs one retry, which the client does not see (RFC 7766 §6.2.4). */
  async exchange(message: Buffer, timeoutMs: number): Promise<Buffer> {
    const deadlineMs = this.#clock.nowMs() + timeoutMs;
    const shared = this.#shared();
    if (shared === undefined) return this.#opened().ask(message, timeoutMs);
    try {
      return await shared.ask(message, timeoutMs);
    } catch (error) {
      const remainingMs = deadlineMs - this.#clock.nowMs();
      if (!(error instanceof ExchangeError) || error.code !== 'NETWORK' || remainingMs <= 0) throw error;
      if (!this.#suspect.has(shared)) {
        for (const connection of [shared, ...this.#connections]) this.#suspect.add(connection);
      }
      return (this.#shared() ?? this.#opened()).ask(message, remainingMs);
    }
  }

  close(): void {
    for (const connection of [...this.#connections]) connection.close();
  }

  /** The one with the least ahead, unless another should be opened. */
  #shared(): TcpConnection | undefined {
    const usable = [...this.#connections].filter((connection) => !this.#suspect.has(connection));
    const least = usable.reduce<TcpConnection | undefined>(
      (best, connection) => (best !== undefined && best.pending <= connection.pending ? best : connection),
      undefined,
    );
    if (least === undefined) return undefined;
    return least.pending < sharedBelow || usable.length >= maxConnections ? least : undefined;
  }

  #opened(): TcpConnection {
    const onClosed = () => this.#connections.delete(opened);
    const opened: TcpConnection = new TcpConnection(
      this.#server,
      this.#clock,
      this.#outgoing,
      this.#sessions,
      onClosed,
    );
    this.#connections.add(opened);
    return opened;
  }
}

/** One pool for each server that is asked over TCP. */
export class TcpPools {
  readonly #clock: Clock;
  readonly #outgoing: Outgoing;
  readonly #pools = new Map<string, TcpPool>();

  constructor(clock: Clock, outgoing: Outgoing = unmarked) {
    this.#clock = clock;
    this.#outgoing = outgoing;
  }

  exchange(server: ServerAddress, message: Buffer, timeoutMs: number): Promise<Buffer> {
    const { serverName = '', caBundle = '' } = server.tls ?? {};
    const key = [server.address, server.port, serverName, caBundle].join('#');
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      pool = new TcpPool(server, this.#clock, this.#outgoing);
      this.#pools.set(key, pool);
    }
    return pool.exchange(message, timeoutMs);
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.close();
  }
}
