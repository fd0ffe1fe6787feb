import { randomInt } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../clock.ts';
import * as header from '../wire/header.ts';
import { setU16, u16 } from '../wire/octets.ts';
import { ExchangeError, type ServerAddress } from './exchange-error.ts';
import type { Outgoing } from './outgoing.ts';
import type { TlsSessions } from './tls-sessions.ts';
import { answers, questionEnd } from './udp-exchange.ts';

/** A black hole must not hold a query up for longer than this. */
const connectTimeoutMs = 1_000;
/** Shorter than the 10 s after which CoreDNS closes: whoever closes first must be us, or queries race with the close. */
const idleTimeoutMs = 6_000;

interface Pending {
  question: Buffer;
  resolve: (reply: Buffer) => void;
  reject: (error: ExchangeError) => void;
  timer: Timer;
  sentAtMs: number;
}

/**
 * One TCP connection to an upstream: many queries at once, answers in any order (RFC 7766 §6.2.1.1, §7). Frames are a length of
 * two octets and a message; they may be split over and joined in what arrives.
 */
export class TcpConnection {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  readonly #onClosed: () => void;
  #received: Buffer = Buffer.alloc(0);
  #lastReplyAtMs = Number.NEGATIVE_INFINITY;
  #lastQueryAtMs = Number.NEGATIVE_INFINITY;
  #idle: Timer | undefined;
  #corked = false;
  #closed = false;

  constructor(server: ServerAddress, clock: Clock, outgoing: Outgoing, sessions: TlsSessions, onClosed: () => void) {
    this.#clock = clock;
    this.#onClosed = onClosed;
    const plain = outgoing.tcp(server);
    plain.setNoDelay(true);
    plain.connect({ host: server.address, port: server.port });
    const socket = server.tls === undefined ? plain : sessions.secure(plain, server.tls);
    const connecting = clock.after(connectTimeoutMs, () => this.#close(`no connection within ${connectTimeoutMs} ms`));
    socket.once(server.tls === undefined ? 'connect' : 'secureConnect', () => {
      connecting.cancel();
      this.#closeWhenIdle(idleTimeoutMs);
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

  get pending(): number {
    return this.#pending.size;
  }

  ask(message: Buffer, timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const queryId = this.#freeId();
      const timer = this.#clock.after(timeoutMs, () => this.#expire(queryId, timeoutMs));
      const question = message.subarray(header.headerLength, questionEnd(message));
      this.#lastQueryAtMs = this.#clock.nowMs();
      this.#pending.set(queryId, { question, resolve, reject, timer, sentAtMs: this.#lastQueryAtMs });
      const frame = Buffer.allocUnsafe(2 + message.length);
      setU16(frame, 0, message.length);
      message.copy(frame, 2);
      setU16(frame, 2, queryId);
      this.#write(frame);
    });
  }

  close(): void {
    this.#close('closed');
  }

  /** One timer that looks at the last use, rather than one that is set anew at each. */
  #closeWhenIdle(inMs: number): void {
    this.#idle = this.#clock.after(inMs, () => {
      const quietMs = this.#clock.nowMs() - Math.max(this.#lastQueryAtMs, this.#lastReplyAtMs);
      if (this.#pending.size === 0 && quietMs >= idleTimeoutMs) this.#close('idle');
      else this.#closeWhenIdle(this.#pending.size > 0 ? idleTimeoutMs : idleTimeoutMs - quietMs);
    });
  }

  /** Queries of one loop turn leave in one segment. */
  #write(frame: Buffer): void {
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      setImmediate(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(frame);
  }

  #freeId(): number {
    let queryId = randomInt(0x10000);
    while (this.#pending.has(queryId)) queryId = (queryId + 1) & 0xffff;
    return queryId;
  }

  #read(chunk: Buffer): void {
    this.#lastReplyAtMs = this.#clock.nowMs();
    const data = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    let at = 0;
    while (at + 2 <= data.length) {
      const end = at + 2 + u16(data, at);
      if (end > data.length) break;
      this.#deliver(data.subarray(at + 2, end));
      at = end;
    }
    this.#received = data.subarray(at);
  }

  #deliver(reply: Buffer): void {
    if (reply.length < header.headerLength) return;
    const queryId = header.id(reply);
    const pending = this.#pending.get(queryId);
    if (pending === undefined || !answers(reply, pending.question)) return;
    this.#pending.delete(queryId);
    pending.timer.cancel();
    pending.resolve(reply);
  }

  #expire(queryId: number, timeoutMs: number): void {
    const pending = this.#pending.get(queryId);
    if (pending === undefined) return;
    this.#pending.delete(queryId);
    pending.reject(new ExchangeError('TIMEOUT', `no reply over TCP within ${Math.round(timeoutMs)} ms`));
    // Nothing at all since the query left: the other end is gone without a word, so new queries need another connection.
    if (this.#lastReplyAtMs < pending.sentAtMs) this.#close('the upstream is silent');
  }

  #close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#idle?.cancel();
    this.#socket.destroy();
    this.#onClosed();
    for (const { reject, timer } of this.#pending.values()) {
      timer.cancel();
      reject(new ExchangeError('NETWORK', reason));
    }
    this.#pending.clear();
  }
}
