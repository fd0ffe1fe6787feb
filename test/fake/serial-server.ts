/**
 * A DNS server over TCP that answers each connection one query after the other, as CoreDNS does; over real sockets, or over
 * connections in memory whose packets take their time on the test's clock.
 */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { Clock, Timer } from '../../agent/clock.ts';
import type { Outgoing } from '../../agent/forward/outgoing.ts';
import { type AnswerParts, buildAnswer, type Message, readMessage } from './message.ts';

export interface ServerHabits {
  /** How long one query takes the server; Infinity for ever. */
  workMs?: (name: string) => number;
  /** All queries of a connection are worked on at once. */
  inAnyOrder?: boolean;
  /** Connections without a query for so long are closed. */
  idleMs?: number;
  /** A connection is closed behind so many answers. */
  closesAfter?: number;
  answer?: (question: Message) => AnswerParts;
}

interface Received {
  name: string;
  question: Message;
  atMs: number;
  /** The how-manieth that was accepted. */
  connection: number;
}

export class SerialServer {
  readonly received: Received[] = [];
  readonly connections = new Set<Duplex>();
  accepted = 0;
  /** The most at a time. */
  mostConnections = 0;
  /** Connections that it closed for want of queries. */
  closedIdle = 0;
  /** Attempts to connect. */
  attempts = 0;
  inAnyOrder: boolean;
  closesAfter: number;
  /** Nobody listens: attempts to connect fail, or are not heard of again. */
  isClosed = false;
  isGone = false;
  readonly #clock: Clock;
  readonly #habits: Required<Omit<ServerHabits, 'inAnyOrder' | 'closesAfter'>>;
  #listener: Server | undefined;

  constructor(clock: Clock, habits: ServerHabits = {}) {
    this.#clock = clock;
    this.inAnyOrder = habits.inAnyOrder ?? false;
    this.closesAfter = habits.closesAfter ?? Number.POSITIVE_INFINITY;
    this.#habits = {
      workMs: () => 0,
      idleMs: Number.POSITIVE_INFINITY,
      answer: ({ name }) => ({ answers: [`${name} 60 A 192.0.2.1`] }),
      ...habits,
    };
  }

  /** Real sockets; the port. */
  async listen(): Promise<number> {
    this.#listener = createServer((socket) => this.#accept(socket.setNoDelay(true)));
    this.#listener.listen(0, '127.0.0.1');
    await once(this.#listener, 'listening');
    const bound = this.#listener.address();
    return typeof bound === 'object' && bound !== null ? bound.port : 0;
  }

  async close(): Promise<void> {
    for (const connection of this.connections) connection.destroy();
    const listener = this.#listener;
    if (listener !== undefined) await new Promise((resolve) => listener.close(resolve));
  }

  /** Connections in memory, to this server whatever the address; `roundTripMs` is the way there and back. */
  outgoing(roundTripMs = 0): Outgoing {
    return {
      udp: () => {
        throw new Error('this server is asked over TCP');
      },
      tcp: () => {
        const here = new MemorySocket(this.#clock, roundTripMs / 2);
        this.attempts += 1;
        here.onConnect = () => {
          if (this.isClosed) return 'refused';
          if (this.isGone) return 'silence';
          const there = new MemorySocket(this.#clock, roundTripMs / 2);
          here.peer = there;
          there.peer = here;
          this.#accept(there);
          return 'connected';
        };
        return here as unknown as Socket;
      },
    };
  }

  #accept(socket: Duplex): void {
    this.accepted += 1;
    const connection = this.accepted;
    this.connections.add(socket);
    this.mostConnections = Math.max(this.mostConnections, this.connections.size);
    const work: Buffer[] = [];
    let isBusy = false;
    let answers = 0;
    let received: Buffer = Buffer.alloc(0);
    let idle: Timer | undefined;
    const stayAwake = () => {
      idle?.cancel();
      if (!Number.isFinite(this.#habits.idleMs)) return;
      idle = this.#clock.after(this.#habits.idleMs, () => {
        this.closedIdle += 1;
        socket.destroy();
      });
    };
    const next = () => {
      const bytes = work.shift();
      if (bytes === undefined || !socket.writable) return;
      isBusy = !this.inAnyOrder;
      const question = readMessage(bytes);
      const name = question.name.toLowerCase();
      this.received.push({ name, question, atMs: this.#clock.nowMs(), connection });
      const workMs = this.#habits.workMs(name);
      const done = () => {
        isBusy = false;
        if (!socket.writable) return;
        socket.write(framed(buildAnswer(bytes, this.#habits.answer(question))));
        answers += 1;
        if (answers >= this.closesAfter) {
          socket.end();
          return;
        }
        stayAwake();
        next();
      };
      if (workMs === 0) done();
      else if (Number.isFinite(workMs)) this.#clock.after(workMs, done);
    };
    stayAwake();
    socket.on('error', () => {});
    socket.once('end', () => socket.end());
    socket.once('close', () => {
      idle?.cancel();
      this.connections.delete(socket);
    });
    socket.on('data', (chunk: Buffer) => {
      stayAwake();
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const end = 2 + received.readUInt16BE(0);
        work.push(Buffer.from(received.subarray(2, end)));
        received = received.subarray(end);
        if (!isBusy) next();
      }
    });
  }
}

/** One end of a connection: what is written arrives at the other end after its time on the way. */
class MemorySocket extends Duplex {
  peer: MemorySocket | undefined;
  onConnect: () => 'connected' | 'refused' | 'silence' = () => 'silence';
  readonly #clock: Clock;
  readonly #wayMs: number;
  #hasEnded = false;

  constructor(clock: Clock, wayMs: number) {
    super({ allowHalfOpen: true });
    this.#clock = clock;
    this.#wayMs = wayMs;
  }

  setNoDelay(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  connect(): this {
    this.cork();
    this.#clock.after(2 * this.#wayMs, () => {
      if (this.destroyed) return;
      const outcome = this.onConnect();
      if (outcome === 'refused') this.destroy(new Error('connect ECONNREFUSED'));
      if (outcome !== 'connected') return;
      this.uncork();
      this.emit('connect');
    });
    return this;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#arrive(chunk);
    done();
  }

  override _final(done: () => void): void {
    this.#arrive(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#arrive(null);
    done(error);
  }

  #take(what: Buffer | null): void {
    if (this.destroyed || this.#hasEnded) return;
    this.#hasEnded = what === null;
    this.push(what);
  }

  #arrive(what: Buffer | null): void {
    const { peer } = this;
    this.#clock.after(this.#wayMs, () => {
      if (peer !== undefined) peer.#take(what);
    });
  }
}

function framed(message: Buffer): Buffer {
  const frame = Buffer.alloc(2 + message.length);
  frame.writeUInt16BE(message.length);
  message.copy(frame, 2);
  return frame;
}
