import type { Clock } from '../clock.ts';
import type { ConnectionOwner } from './connection-owner.ts';
import type { ServerAddress } from './exchange-error.ts';
import { FairQueue } from './fair-queue.ts';
import { type Outgoing, unmarked } from './outgoing.ts';
import { TcpConnection } from './tcp-connection.ts';
import { TcpQuery } from './tcp-query.ts';
import { TlsSessions } from './tls-sessions.ts';
import type { Asker } from './transport.ts';

/** Connections that stay open while there is little to ask; the others close soon. */
const atRest = 2;
/** Connections that get on: of these a few serve better than one deep pipeline, for CoreDNS answers each serially. */
const maxMoving = 4;
/** Those that a slow query holds up come on top, until there are so many; not those that do not come about. */
const maxConnections = 32;
/** So much of what is bounded is kept for clients that hold none of it, or less than an equal part. */
const keptPart = 1 / 4;
const openConnections = maxConnections * (1 - keptPart);
/** With fewer queries than this ahead, one connection is shared rather than another one opened or used as well: */
const leastShared = 8;
/** with more, as far as the server is so fast that the last of them waits no longer than this: what goes together costs less. */
const mostShared = 32;
const sharedMs = 1;
/**
 * What is moved is asked twice, which costs the server: it may happen to a tenth of the queries, to some more after a pause, and
 * freely where it paid. A server that is slow because it has too much to do is not given more.
 */
const movesPerQuery = 0.1;
const maxMovesSaved = 64;
/** A query survives a lost connection once, and more often where the server had answered others on it: it will get there. */
const maxLosses = 1;
const maxLossesBehindAnswers = 4;
/** A server that closes connections after so many queries may be another one after this. */
const queriesPerConnectionMs = 600_000;
/** Endpoints come and go: with so many, what is known about those that nobody asks is forgotten. */
const maxPools = 64;
/** How often connections are looked at while queries wait. */
const lookEveryMs = 5;

/** Connections to one upstream server, opened on demand and closed when idle. */
class TcpPool implements ConnectionOwner {
  answersInAnyOrder = false;
  roundTripMs: number | undefined;
  answerMs: number | undefined;
  takesKeepalive = true;
  readonly #server: ServerAddress;
  readonly #clock: Clock;
  readonly #outgoing: Outgoing;
  readonly #sessions = new TlsSessions();
  /** The oldest first: it is used first, so that the youngest fall idle. */
  readonly #connections: TcpConnection[] = [];
  /** Without a connection so far. */
  readonly #waiting = new FairQueue();
  /** Clients that held connections up with what they asked, at the last look. */
  readonly #slow = new Set<string>();
  #movesSaved = maxMovesSaved;
  /** So many have been opened, and had been when one was lost that told something. */
  #opened = 0;
  #openedBeforeLoss = 0;
  /** Queries that were answered over that one, and until when that tells how many ever are. */
  #answersBeforeLoss = 0;
  #isLimitedUntilMs = Number.NEGATIVE_INFINITY;
  /** No query that is out or waits expires before. */
  #firstExpiryMs = Number.POSITIVE_INFINITY;
  #looks = false;
  #closed = false;

  constructor(server: ServerAddress, clock: Clock, outgoing: Outgoing) {
    this.#server = server;
    this.#clock = clock;
    this.#outgoing = outgoing;
  }

  ask(message: Buffer, timeoutMs: number, asker: Asker): void {
    const query = new TcpQuery(message, asker, this.#clock.nowMs(), timeoutMs);
    this.#movesSaved = Math.min(maxMovesSaved, this.#movesSaved + movesPerQuery);
    this.#firstExpiryMs = Math.min(this.#firstExpiryMs, query.expiresAtMs);
    if (this.#waiting.has(query.client) || !this.#place(query)) this.#wait(query);
  }

  get isUnused(): boolean {
    return this.#connections.length === 0 && this.#waiting.isEmpty;
  }

  close(): void {
    this.#closed = true;
    for (const connection of [...this.#connections]) connection.close();
    this.#failWaiting('closed');
  }

  /** Where there is room, queries that wait are sent; there may be room for one client, and none for another. */
  progressed(): void {
    // Mostly nobody waits, and an iterator would be made to find that out.
    if (this.#waiting.isEmpty) return;
    for (const query of this.#waiting.heads()) if (this.#place(query)) this.#waiting.serve(query);
  }

  /**
   * A connection that is lost under a query costs a retry, which the client does not see (RFC 7766 §6.2.4). A server that
   * cannot be reached at all costs none: the caller knows others.
   */
  closed(connection: TcpConnection, unanswered: TcpQuery[], reason: string, wasGivenUp: boolean): void {
    this.#connections.splice(this.#connections.indexOf(connection), 1);
    const wasLost = !wasGivenUp && connection.isEstablished && unanswered.length > 0;
    if (wasLost) this.#learnLimit(connection);
    const most = connection.answers > 0 ? maxLossesBehindAnswers : maxLosses;
    if (wasLost) for (const other of [...this.#connections]) if (other.isEstablished) other.suspect();
    const others = this.#connections.some(({ isEstablished, isUsable }) => isEstablished && isUsable);
    for (const query of unanswered) {
      const again = !this.#closed && query.losses < most && (connection.isEstablished || others) && query.mayRepeat();
      if (!wasGivenUp) query.losses += 1;
      if (!again) query.fail('NETWORK', reason);
      else if (!this.#place(query)) this.#wait(query);
    }
    if (!connection.isEstablished && !others) this.#failWaiting(reason);
    else if (!this.#closed) this.progressed();
  }

  /**
   * RFC 7766 §6.2.3: servers may bound the queries of a connection. Twice in a row the same number is no accident; but those that were
   * open at once may be lost at once, as when a server restarts, and tell no more than one of them.
   */
  #learnLimit({ place, answers }: TcpConnection): void {
    if (place <= this.#openedBeforeLoss) return;
    this.#openedBeforeLoss = this.#opened;
    const isLimit = answers > 0 && answers === this.#answersBeforeLoss;
    this.#isLimitedUntilMs = isLimit ? this.#clock.nowMs() + queriesPerConnectionMs : Number.NEGATIVE_INFINITY;
    this.#answersBeforeLoss = answers;
  }

  get queriesPerConnection(): number {
    return this.#clock.nowMs() < this.#isLimitedUntilMs ? this.#answersBeforeLoss : Number.POSITIVE_INFINITY;
  }

  movePaid(): void {
    this.#movesSaved = Math.min(maxMovesSaved, this.#movesSaved + 1);
  }

  isExtra(connection: TcpConnection): boolean {
    return this.#connections.indexOf(connection) >= atRest;
  }

  #failWaiting(reason: string): void {
    for (const query of [...this.#waiting]) {
      this.#waiting.remove(query);
      query.fail('NETWORK', reason);
    }
  }

  #wait(query: TcpQuery): void {
    if (query.hasEnded) return;
    this.#waiting.add(query);
    this.#lookSoon();
  }

  /** At the looks, for a timer of each query would cost more than the rest of it here; most queries are long answered by then. */
  #expire(nowMs: number): void {
    if (nowMs < this.#firstExpiryMs) return;
    this.#firstExpiryMs = Number.POSITIVE_INFINITY;
    for (const query of [...this.#waiting]) {
      if (!this.#hasExpired(query, nowMs)) continue;
      this.#waiting.remove(query);
      query.expire();
    }
    for (const connection of [...this.#connections]) {
      for (const query of [...connection.awaited()]) {
        if (!this.#hasExpired(query, nowMs)) continue;
        query.expire();
        const { askedAtMs } = query;
        const isThere = this.#connections.some(({ lastReplyAtMs }) => lastReplyAtMs >= askedAtMs);
        for (const carrier of [...this.#connections]) if (carrier.carries(query)) carrier.expired(askedAtMs, isThere);
      }
    }
  }

  #hasExpired({ expiresAtMs }: TcpQuery, nowMs: number): boolean {
    if (expiresAtMs <= nowMs) return true;
    this.#firstExpiryMs = Math.min(this.#firstExpiryMs, expiresAtMs);
    return false;
  }

  /** False where it has to wait. */
  #place(query: TcpQuery): boolean {
    const connection = this.#free(query.client);
    if (connection === undefined) return false;
    try {
      (connection === 'new' ? this.#open() : connection).send(query);
    } catch (error) {
      query.fail('NETWORK', (error as Error).message);
    }
    this.#lookSoon();
    return true;
  }

  /**
   * The oldest that gets on and has little before it; else a new one; else, of those that get on, the one with the least. The
   * more of them are stuck, the less is little: then slow queries are many, and each wants a connection of its own.
   */
  #free(client: string): TcpConnection | 'new' | undefined {
    const isOver = this.#isOverShare(client);
    let least: TcpConnection | undefined;
    let moving = 0;
    let stuck = 0;
    let opening = 0;
    for (const connection of this.#connections) {
      if (!connection.isEstablished) opening += 1;
      if (connection.isStuck) stuck += 1;
      if (this.#mayCarry(connection, client, isOver)) {
        moving += 1;
        if (least === undefined || connection.ahead < least.ahead) least = connection;
      }
    }
    const part = moving / (moving + stuck);
    const oldest = this.#oldestWithLittle(part, client, isOver);
    if (oldest !== undefined) return oldest;
    const mayOpen = !isOver && this.#connections.length < maxConnections;
    if (Math.max(moving, opening) < maxMoving && mayOpen) return 'new';
    if (least === undefined) return undefined;
    const room = Math.floor(least.maxAhead * part);
    if (least.ahead < room - Math.floor(room * keptPart)) return least;
    return least.ahead < room && !least.carriesFor(client) ? least : undefined;
  }

  /** Whether the client has so many connections to itself that it must leave the others to those who have less. */
  #isOverShare(client: string): boolean {
    if (this.#connections.length < openConnections) return false;
    let own = 0;
    for (const connection of this.#connections) if (connection.client === client) own += 1;
    // One more than there are: whoever comes next finds room as well.
    return own >= Math.max(1, Math.floor(maxConnections / (this.#slow.size + 1)));
  }

  /** A client that holds connections up keeps to its own, and the others keep off these: what it asks next may be slow again. */
  #mayCarry(connection: TcpConnection, client: string, isOver: boolean): boolean {
    if (!connection.isUsable || connection.isStuck) return false;
    if (connection.ahead === 0) return !isOver;
    if (connection.client === client) return true;
    return !this.#slow.has(client) && (connection.client === undefined || !this.#slow.has(connection.client));
  }

  #oldestWithLittle(part: number, client: string, isOver: boolean): TcpConnection | undefined {
    const sharedBelow = this.#sharedBelow();
    for (const connection of this.#connections) {
      if (!this.#mayCarry(connection, client, isOver)) continue;
      const below = connection.isLate ? leastShared : sharedBelow;
      if (connection.ahead < Math.max(1, below * part)) return connection;
    }
    return undefined;
  }

  #sharedBelow(): number {
    if (this.answerMs === undefined) return leastShared;
    return Math.max(leastShared, Math.min(mostShared, sharedMs / this.answerMs));
  }

  #open(): TcpConnection {
    // The way may have become another one meanwhile.
    if (this.#connections.length === 0) {
      this.roundTripMs = undefined;
      this.answerMs = undefined;
      this.answersInAnyOrder = false;
    }
    const opened = new TcpConnection(this.#server, this.#clock, this.#outgoing, this.#sessions, this);
    this.#opened += 1;
    opened.place = this.#opened;
    this.#connections.push(opened);
    return opened;
  }

  /** Timers come before what has arrived meanwhile: that is read first, so that a pause of our own is not taken for theirs. */
  #lookSoon(): void {
    if (this.#looks) return;
    this.#looks = true;
    const delayMs = Math.min(lookEveryMs, this.#firstExpiryMs - this.#clock.nowMs());
    this.#clock.after(delayMs, () => setImmediate(() => this.#look()));
  }

  #look(): void {
    this.#looks = false;
    if (this.#closed) return;
    const nowMs = this.#clock.nowMs();
    this.#expire(nowMs);
    for (const connection of [...this.#connections]) connection.look(nowMs);
    this.#slow.clear();
    for (const { holder } of this.#connections) if (holder !== undefined) this.#slow.add(holder);
    this.#moveHeld();
    this.progressed();
    if (!this.#waiting.isEmpty || this.#connections.some(({ ahead }) => ahead > 0)) this.#lookSoon();
  }

  /** What was sent behind a slow query is sent again over a connection that gets on; if that fails it, to where nothing is ahead. */
  #moveHeld(): void {
    for (const connection of [...this.#connections]) {
      if (!connection.isStuck) continue;
      const staying = new Set<string>();
      for (const query of [...connection.held()]) {
        const { client } = query;
        if (this.#movesSaved < 1) return;
        if (staying.has(client)) continue;
        const to = this.#free(client);
        const isEmpty = to === 'new' || to?.ahead === 0;
        if (to === undefined || (query.wasMoved && !isEmpty) || !query.mayRepeat()) {
          staying.add(client);
          continue;
        }
        query.wasMoved = true;
        this.#movesSaved -= 1;
        this.#place(query);
      }
    }
  }
}

/** One pool for each server that is asked over TCP. */
export class TcpPools {
  readonly #clock: Clock;
  readonly #outgoing: Outgoing;
  readonly #pools = new Map<string, TcpPool>();
  readonly #keys = new WeakMap<ServerAddress, string>();

  constructor(clock: Clock, outgoing: Outgoing = unmarked) {
    this.#clock = clock;
    this.#outgoing = outgoing;
  }

  ask(server: ServerAddress, message: Buffer, timeoutMs: number, asker: Asker): void {
    const key = this.#keyOf(server);
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      if (this.#pools.size >= maxPools) this.#forgetUnused();
      pool = new TcpPool(server, this.#clock, this.#outgoing);
      this.#pools.set(key, pool);
    }
    pool.ask(message, timeoutMs, asker);
  }

  /** Upstreams ask with one object each: its key is made once. */
  #keyOf(server: ServerAddress): string {
    let key = this.#keys.get(server);
    if (key === undefined) {
      const { serverName = '', caBundle = '' } = server.tls ?? {};
      key = [server.address, server.port, serverName, caBundle].join('#');
      this.#keys.set(server, key);
    }
    return key;
  }

  get size(): number {
    return this.#pools.size;
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.close();
  }

  #forgetUnused(): void {
    for (const [key, pool] of this.#pools) if (pool.isUnused) this.#pools.delete(key);
  }
}
