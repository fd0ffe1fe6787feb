import type { OnReadOpts, Socket } from 'node:net';
import type { Clock, Timer } from '../clock.ts';
import { maxMessageLength } from '../wire/answer.ts';
import * as header from '../wire/header.ts';
import { keepaliveTimeoutMs, withKeepalive } from '../wire/keepalive.ts';
import { copyOctets, setU16, u16 } from '../wire/octets.ts';
import { hasOpt, questionEnd } from '../wire/upstream-query.ts';
import type { ConnectionOwner } from './connection-owner.ts';
import type { ServerAddress } from './exchange-error.ts';
import type { Outgoing } from './outgoing.ts';
import { randomId } from './random-id.ts';
import { type Batch, Sent, SentQueries } from './sent-queries.ts';
import type { TcpQuery } from './tcp-query.ts';
import type { TlsSessions } from './tls-sessions.ts';
import { answers } from './udp-exchange.ts';

/** A black hole must not hold a query up for longer than this. */
const connectTimeoutMs = 1_000;
/** Shorter than the 10 s after which CoreDNS closes: whoever closes first must be us, or queries race with the close. */
const idleTimeoutMs = 6_000;
/** The same for connections beyond those that an upstream is left with at rest. */
const extraIdleTimeoutMs = 1_000;
/** RFC 7828 §3.4: we close before the upstream does, and this part of its time leaves the rest to the network. */
const keepalivePart = 0.6;
/** What is ahead has been out for more than the way there and back and these few milliseconds: it holds up what is behind it. */
const stuckAfterMs = 5;
/** It may turn out to, when it has been out for so long. */
const lateAfterMs = 2;
/** A server that answers in any order holds nothing up; after this much silence its connection may be dead. */
const silentAfterMs = 250;
/** Weight of a new time in the smoothed one. */
const answerWeight = 1 / 8;
/** The way there and back, where nothing is known of it. */
const usualRoundTripMs = 25;
/** How long a connection took to stand tells how long the way is; above this it may as well tell how busy we were. */
const maxHandshakeMs = 100;
/** So many are sent ahead of the answers at most. */
const maxAhead = 32;
/** And more the longer the way is, for each millisecond of it, once so many answers have told its length. */
const maxAheadPerMs = 16;
const answersThatTell = 32;

const nothing = Buffer.alloc(0);

/** What is read next, of all connections in turn: whoever is told of it takes what it keeps. */
const arrived = Buffer.allocUnsafeSlow(2 + maxMessageLength);

/**
 * One TCP connection to an upstream: many queries at once, answers in any order (RFC 7766 §6.2.1.1, §7). Frames are a length of
 * two octets and a message; they may be split over and joined in what arrives.
 */
export class TcpConnection {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #owner: ConnectionOwner;
  /**
   * By id, the oldest first. Those that ended elsewhere, or were given up, stay until they are answered or passed over: a server
   * that answers one after the other is still busy with them.
   */
  readonly #sent = new SentQueries();
  #received: Buffer = nothing;
  #asked = 0;
  /** Queries that were answered over it. */
  answers = 0;
  /** The how-manieth of its pool. */
  place = 0;
  /** The latest query that has been answered, in the order of asking. */
  #answered = -1;
  /** How many that were asked before it have not been. */
  #passedOver = 0;
  lastReplyAtMs = Number.NEGATIVE_INFINITY;
  #lastQueryAtMs = Number.NEGATIVE_INFINITY;
  #openedAtMs: number;
  #keepMs = idleTimeoutMs;
  #idle: Timer | undefined;
  #batch: Batch | undefined;
  #established = false;
  /** Who asked what held it up, when it was looked at. */
  holder: string | undefined;
  #suspect = false;
  #draining = false;
  #closed = false;

  constructor(server: ServerAddress, clock: Clock, outgoing: Outgoing, sessions: TlsSessions, owner: ConnectionOwner) {
    this.#clock = clock;
    this.#owner = owner;
    this.#openedAtMs = clock.nowMs();
    const plain = server.tls === undefined ? outgoing.tcp(server, this.#onRead()) : outgoing.tcp(server);
    plain.setNoDelay(true);
    plain.once('connect', () => {
      const handshakeMs = clock.nowMs() - this.#openedAtMs;
      if (handshakeMs <= maxHandshakeMs) this.#took(handshakeMs);
    });
    plain.connect({ host: server.address, port: server.port });
    const socket = server.tls === undefined ? plain : sessions.secure(plain, server.tls);
    const connecting = clock.after(connectTimeoutMs, () => this.#close(`no connection within ${connectTimeoutMs} ms`));
    socket.once(server.tls === undefined ? 'connect' : 'secureConnect', () => {
      connecting.cancel();
      this.#established = true;
      this.#openedAtMs = clock.nowMs();
      this.#closeWhenIdle();
      owner.progressed();
    });
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.once('error', (error) => this.#close(error.message));
    socket.once('end', () => this.#close('the upstream closed the connection'));
    socket.once('close', () => {
      connecting.cancel();
      this.#close('the connection was closed');
    });
    socket.unref();
    this.#socket = socket;
  }

  /** Queries that a server which answers one after the other has before it. */
  get ahead(): number {
    return this.#sent.size;
  }

  get isEstablished(): boolean {
    return this.#established;
  }

  /** How many it may have ahead. */
  get maxAhead(): number {
    return this.#answered < answersThatTell ? maxAhead : maxAhead + maxAheadPerMs * (this.#owner.roundTripMs ?? 0);
  }

  /** It may carry new queries. */
  get isUsable(): boolean {
    return !this.#suspect && !this.#draining && !this.#closed;
  }

  /** When it was looked at, what was ahead had been out for long: what is sent now would wait behind it. */
  get isStuck(): boolean {
    return this.holder !== undefined;
  }

  /** Whose queries it carries, where all are one client's. */
  get client(): string | undefined {
    return this.#sent.client;
  }

  look(nowMs: number): void {
    const head = this.#head();
    if (head === undefined) return;
    const limitMs = this.#owner.answersInAnyOrder ? silentAfterMs : stuckAfterMs;
    this.holder = this.#isOutFor(limitMs, nowMs) ? head.query.client : undefined;
    // The server may be at it for long: what is behind it gets another connection, and so does whoever comes.
    if (head.query.hasEnded && this.#isOutFor(silentAfterMs, nowMs)) this.#close('nobody waits for its answer', true);
  }

  /** What is ahead takes longer than the way and a usual answer: whoever comes may better go elsewhere. */
  get isLate(): boolean {
    return this.#isOutFor(lateAfterMs, this.#clock.nowMs());
  }

  /** The way there and back comes on top. */
  #isOutFor(ms: number, nowMs: number): boolean {
    const head = this.#head();
    if (head === undefined) return false;
    const sinceMs = Math.max(head.batch.leftAtMs, this.#openedAtMs, this.lastReplyAtMs);
    return nowMs - sinceMs >= ms + (this.#owner.roundTripMs ?? usualRoundTripMs);
  }

  /** What waits behind the slow one, and nowhere else. */
  *held(): Generator<TcpQuery, void> {
    const head = this.#head();
    for (const { query, order } of this.#sent) {
      if (head !== undefined && order > head.order && query.latest === this && !query.hasEnded) yield query;
    }
  }

  send(query: TcpQuery): void {
    const queryId = this.#freeId();
    // RFC 7828 §3.2.1: once, to say that we would keep the connection.
    const first = this.#asked === 0 && this.#owner.takesKeepalive && hasOpt(query.message);
    const batch = this.#openBatch();
    batch.messages.push(first ? withKeepalive(query.message) : query.message);
    batch.ids.push(queryId);
    this.#sent.add(new Sent(queryId, query, batch, this.#asked, first));
    this.#asked += 1;
    if (this.#asked >= this.#owner.queriesPerConnection) this.#draining = true;
    query.outOn += 1;
    query.latest = this;
  }

  /** Another connection to the same server was lost: this one may be as dead and not know it yet. An answer proves it alive. */
  suspect(): void {
    if (this.#isAwaited()) this.#suspect = true;
    else this.#close('another connection was lost');
  }

  /**
   * A query of `sinceMs` had no answer in its time: without any answer since then the other end is gone without a word, or, where
   * others were answered over other connections, is still at it.
   */
  expired(sinceMs: number, isThere: boolean): void {
    if (this.lastReplyAtMs < sinceMs) this.#close('the upstream is silent', isThere);
  }

  /** What is out and has not been answered elsewhere. */
  *awaited(): Generator<TcpQuery, void> {
    for (const { query } of this.#sent) if (!query.hasEnded) yield query;
  }

  carries(query: TcpQuery): boolean {
    for (const sent of this.#sent) if (sent.query === query) return true;
    return false;
  }

  carriesFor(client: string): boolean {
    for (const { query } of this.#sent) if (query.client === client) return true;
    return false;
  }

  close(): void {
    this.#close('closed');
  }

  /** The oldest that no later one has been answered before. */
  #head(): Sent | undefined {
    return this.#sent.firstAfter(this.#answered);
  }

  #isAwaited(): boolean {
    for (const _ of this.awaited()) return true;
    return false;
  }

  /** One timer that looks at the last use, rather than one that is set anew at each. */
  #closeWhenIdle(): void {
    this.#idle?.cancel();
    const keepMs = this.#owner.isExtra(this) ? Math.min(this.#keepMs, extraIdleTimeoutMs) : this.#keepMs;
    const quietMs = this.#clock.nowMs() - Math.max(this.#openedAtMs, this.#lastQueryAtMs, this.lastReplyAtMs);
    const awaited = this.#isAwaited();
    if (!awaited && quietMs >= keepMs) this.#close('idle');
    else this.#idle = this.#clock.after(awaited ? keepMs : keepMs - quietMs, () => this.#closeWhenIdle());
  }

  /** Queries of one loop turn leave in one segment. */
  #openBatch(): Batch {
    if (this.#batch !== undefined) return this.#batch;
    this.#batch = { leftAtMs: Number.POSITIVE_INFINITY, messages: [], ids: [] };
    this.#lastQueryAtMs = this.#clock.nowMs();
    setImmediate(this.#leave);
    return this.#batch;
  }

  readonly #leave = (): void => {
    const batch = this.#batch as Batch;
    this.#batch = undefined;
    batch.leftAtMs = this.#clock.nowMs();
    if (this.#closed) return;
    let length = 0;
    for (const message of batch.messages) length += 2 + message.length;
    const frames = Buffer.allocUnsafe(length);
    let at = 0;
    for (let place = 0; place < batch.messages.length; place += 1) {
      const message = batch.messages[place] as Buffer;
      setU16(frames, at, message.length);
      copyOctets(message, 0, message.length, frames, at + 2);
      setU16(frames, at + 2, batch.ids[place] as number);
      at += 2 + message.length;
    }
    batch.messages.length = 0;
    this.#socket.write(frames);
  };

  #freeId(): number {
    let queryId = randomId();
    while (this.#sent.get(queryId) !== undefined) queryId = (queryId + 1) & 0xffff;
    return queryId;
  }

  #onRead(): OnReadOpts {
    return {
      buffer: arrived,
      callback: (length, buffer) => {
        this.#read((buffer as Buffer).subarray(0, length));
        return true;
      },
    };
  }

  /** @param chunk is used again after the return */
  #read(chunk: Buffer): void {
    const head = this.#head();
    const nowMs = this.#clock.nowMs();
    const workedMs = head && this.#workedMs(head, nowMs);
    this.lastReplyAtMs = nowMs;
    let answers = 0;
    const data = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    let at = 0;
    while (at + 2 <= data.length) {
      const end = at + 2 + u16(data, at);
      if (end > data.length) break;
      this.#deliver(data.subarray(at + 2, end));
      answers += 1;
      at = end;
    }
    this.#received = at === data.length ? nothing : Buffer.from(data.subarray(at));
    if (at === 0) return;
    if (workedMs !== undefined) this.#pace(workedMs / answers);
    this.holder = undefined;
    this.#suspect = false;
    if (this.#draining && !this.#isAwaited()) this.#close('the upstream takes no more queries on it');
    else this.#owner.progressed();
  }

  /** How long the server has had nothing else to do on this connection than what is answered now: not what the way takes. */
  #workedMs({ batch }: Sent, nowMs: number): number {
    const askedAtMs = Math.max(batch.leftAtMs, this.#openedAtMs);
    if (askedAtMs <= this.lastReplyAtMs) return nowMs - this.lastReplyAtMs;
    return Math.max(0, nowMs - askedAtMs - (this.#owner.roundTripMs ?? 0));
  }

  /** A slow answer among fast ones says little of those that come next. */
  #pace(answerMs: number): void {
    const ms = Math.min(answerMs, stuckAfterMs);
    const before = this.#owner.answerMs ?? ms;
    this.#owner.answerMs = before + (ms - before) * answerWeight;
  }

  #deliver(reply: Buffer): void {
    const queryId = reply.length < header.headerLength ? -1 : header.id(reply);
    const sent = this.#sent.get(queryId);
    if (sent === undefined || !answers(reply, sent.query.message)) {
      (sent ?? this.#head())?.query.mismatched();
      return;
    }
    this.#sent.delete(sent);
    this.answers += 1;
    this.#note(sent);
    const { query } = sent;
    query.outOn -= 1;
    if (sent.withKeepalive && !this.#heed(query, reply)) return;
    if (query.hasEnded) return;
    if (sent.isRepeated) this.#owner.movePaid();
    query.answer(reply);
  }

  /** There and back: whatever took longer had other reasons. */
  #took(ms: number): void {
    if (ms < (this.#owner.roundTripMs ?? Number.POSITIVE_INFINITY)) this.#owner.roundTripMs = ms;
  }

  /** How fast and in which order answers come, and which queries will have none. */
  #note({ order, batch }: Sent): void {
    this.#took(this.lastReplyAtMs - Math.max(batch.leftAtMs, this.#openedAtMs));
    if (order < this.#answered) {
      this.#owner.answersInAnyOrder = true;
      this.#passedOver -= 1;
    } else {
      this.#passedOver += order - this.#answered - 1;
      this.#answered = order;
    }
    if (this.#passedOver > 0) this.#forgetPassedOver();
  }

  #forgetPassedOver(): void {
    for (const sent of this.#sent) {
      if (sent.order > this.#answered) return;
      if (!sent.query.hasEnded) continue;
      this.#sent.delete(sent);
      this.#passedOver -= 1;
    }
  }

  /** RFC 7828 §3.2.2 and §3.4. False where the server could not read the query for its option, and is asked again without. */
  #heed(query: TcpQuery, reply: Buffer): boolean {
    if (header.responseCode(reply) === header.rcode.formErr) {
      this.#owner.takesKeepalive = false;
      if (query.hasEnded || !query.mayRepeat()) return true;
      this.send(query);
      return false;
    }
    const timeoutMs = keepaliveTimeoutMs(reply, questionEnd(query.message) - header.headerLength);
    if (timeoutMs === 0) this.#draining = true;
    else if (timeoutMs > 0 && timeoutMs * keepalivePart < this.#keepMs) {
      this.#keepMs = timeoutMs * keepalivePart;
      this.#closeWhenIdle();
    }
    return true;
  }

  #close(reason: string, wasGivenUp = false): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#idle?.cancel();
    this.#socket.destroy();
    const unanswered: TcpQuery[] = [];
    for (const { query } of this.#sent.takeAll()) {
      query.outOn -= 1;
      if (!query.hasEnded && query.outOn === 0) unanswered.push(query);
    }
    this.#owner.closed(this, unanswered, reason, wasGivenUp);
  }
}
