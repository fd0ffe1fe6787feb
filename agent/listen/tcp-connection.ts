import type { Socket } from 'node:net';
import type { Timer } from '../clock.ts';
import { atOneTime } from '../clock.ts';
import type { Reply } from '../server/server.ts';
import { setU16, u16 } from '../wire/octets.ts';
import type { Mishap, ServePacket, TellMishap } from './listener.ts';
import { type Load, longPartBytes, type Sharer, type TcpLoad } from './tcp-load.ts';
import type { Taker } from './tcp-turns.ts';

const nothing = Buffer.alloc(0);
/** What is kept of a chunk is copied where it is at most such a part of it. */
const copiedPart = 1 / 4;

/** A few octets must not hold a whole chunk; and many, of which each answer lets one query go, are not to be copied each time. */
export function kept(data: Buffer, from: number): Buffer {
  if (from === data.length) return nothing;
  const rest = data.subarray(from);
  if (rest.length > data.buffer.byteLength * copiedPart) return rest;
  // Of its own: memory that is shared with others would be held as well.
  const own = Buffer.allocUnsafeSlow(rest.length);
  rest.copy(own);
  return own;
}

/** Hundreds of thousands of these are made in a second: they carry no functions. */
class TcpReply implements Reply {
  readonly overTcp = true;
  readonly #connection: TcpConnection;
  readonly idleMs: number;

  constructor(connection: TcpConnection) {
    this.#connection = connection;
    this.idleMs = connection.idleMs;
  }

  get client(): string {
    return this.#connection.address;
  }

  send(message: Buffer, length: number): void {
    this.#connection.answer(message, length);
  }

  drop(): void {
    this.#connection.drop();
  }
}

/**
 * One client's connection: frames of a two-octet length and a message (RFC 1035 §4.2.2), split over and joined in chunks; answers
 * leave as they come, in any order (RFC 7766 §7). A client that has closed its half still gets its answers.
 */
export class TcpConnection implements Sharer, Taker {
  readonly client: Load;
  usedAt: number;
  readonly #socket: Socket;
  readonly address: string;
  readonly #serve: ServePacket;
  readonly #load: TcpLoad;
  readonly #tell: TellMishap;
  #received: Buffer = nothing;
  #waiting = 0;
  /** Octets of answers that are charged to this connection. */
  #backlogBytes = 0;
  /** Octets of a query that is not whole yet, as they are charged; and when it began, 0 where there is none. */
  #partBytes = 0;
  #partSinceMs = 0;
  #taking = false;
  /** Until a turn in which it may take on. */
  #isHeldUp = false;
  /** The client asks nothing more. */
  #ended = false;
  #draining = false;
  /** We answer nothing more. */
  #finished = false;
  /** Nor what is under way. */
  #overfull = false;
  #corked = false;
  /** When something came from the client, or went to it. */
  #activeAtMs: number;
  /** When the client last took answers that had been waiting for it, or the first of those that wait began to. */
  #takenAtMs = 0;
  #watch: Timer;
  readonly #look = () => this.#beIdleIfDue();
  readonly #onTurn = () => this.#flush();
  readonly #onChunk = (chunk: Buffer) => this.#read(chunk);
  readonly #onWritten = (error?: Error | null) => {
    if (error) this.#tell('unsent');
    else this.#takenAtMs = this.#activeAtMs = this.#load.clock.nowMs();
  };

  constructor(
    socket: Socket,
    address: string,
    serve: ServePacket,
    load: TcpLoad,
    tell: TellMishap,
    onClosed: () => void,
  ) {
    this.client = load.clientAt(address);
    this.usedAt = load.use();
    this.#socket = socket;
    this.address = address;
    this.#serve = serve;
    this.#load = load;
    this.#tell = tell;
    load.add(this);
    // Not the socket's own time limit: that begins anew once more where the kernel has taken a part of what waits.
    this.#activeAtMs = load.clock.nowMs();
    this.#watch = load.clock.after(load.bounds.idleTimeoutMs, this.#look);
    socket.on('data', (chunk: Buffer) => atOneTime(this.#onChunk, chunk));
    socket.on('end', () => {
      this.#ended = true;
      this.#endIfDone();
    });
    socket.on('drain', () => {
      this.#chargeBacklog(0);
      this.#resume();
      this.#endIfDone();
    });
    socket.on('finish', () => this.#chargeBacklog(0));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#watch.cancel();
      this.#leave();
      onClosed();
    });
  }

  get isIdle(): boolean {
    return this.#waiting === 0 && this.#backlogBytes === 0 && this.#received.length === 0;
  }

  giveWay(): void {
    this.#cut('displaced');
  }

  #cut(why: Mishap): void {
    // That has been told of.
    if (!this.#overfull) this.#tell(why);
    this.#leave();
    this.#socket.destroy();
  }

  /** What is charged to a connection that is no more is free again. */
  #leave(): void {
    this.#chargeBacklog(0);
    this.#chargePart(0);
    if (this.#isHeldUp) this.#load.turns.release(this);
    this.#load.remove(this, this.address);
  }

  #chargeBacklog(bytes: number): void {
    const more = bytes - this.#backlogBytes;
    if (more === 0) return;
    this.#backlogBytes = bytes;
    this.client.backlogBytes += more;
    this.#load.all.backlogBytes += more;
  }

  #chargePart(bytes: number): void {
    this.#load.all.partBytes += bytes - this.#partBytes;
    this.#partBytes = bytes;
  }

  #chargeWaiting(more: number): void {
    this.#waiting += more;
    this.#load.wait(this, this.address, more);
  }

  /**
   * The client is to go elsewhere, and must not lose a query that is on its way: what comes is answered, and the end follows on
   * the heels of an answer, when the next query is as far off as it ever is, or after a silence.
   */
  drain(): void {
    this.#draining = true;
    this.#activeAtMs = this.#load.clock.nowMs();
    this.#watchFor(this.#load.bounds.drainIdleMs);
  }

  /** No further queries; ends once what was asked is answered. */
  finish(): void {
    this.#ended = true;
    this.#finished = true;
    // What still comes is read and thrown away: unread, it would turn our end into a reset that overtakes the last answers, and
    // the client's end would not be seen. A connection that is full reads on once its answers have left.
    this.#endIfDone();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  get hasAsked(): boolean {
    return this.#socket.bytesRead > 0;
  }

  #read(chunk: Buffer): void {
    this.#activeAtMs = this.#load.clock.nowMs();
    this.#load.turns.spend(chunk.length);
    if (this.#finished) {
      if (this.#load.turns.isSpent) this.#holdUp();
      return;
    }
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    this.#takeFrames();
  }

  /** Nothing more is read from it, nor taken of what has been. */
  #holdUp(): void {
    this.#isHeldUp = true;
    this.#socket.pause();
    this.#load.turns.hold(this);
  }

  goOn(): void {
    this.#isHeldUp = false;
    this.#resume();
    this.#endIfDone();
  }

  /** Takes the frames that are complete, for as long as there is room for their answers; the others stay for later. */
  #takeFrames(): void {
    if (this.#taking) return; // an answer or a drop within take() has made room: the loop below sees it
    this.#taking = true;
    const data = this.#received;
    let at = 0;
    while (at + 2 <= data.length && !this.#isFull()) {
      const end = at + 2 + u16(data, at);
      if (end > data.length) break;
      if (!this.#load.turns.take()) {
        this.#holdUp();
        break;
      }
      this.#take(data.subarray(at + 2, end));
      at = end;
    }
    this.#received = kept(data, at);
    this.#taking = false;
    if (this.#isHeldUp) return;
    if (this.#isFull()) this.#socket.pause();
    else this.#seePart(at > 0);
  }

  /** A query that never gets whole is idleness in disguise, and memory (RFC 7766 §6.2.3). */
  #seePart(others: boolean): void {
    const part = this.#received.length;
    if (part !== this.#partBytes) this.#chargePart(part);
    if (part === 0) {
      this.#partSinceMs = 0;
      return;
    }
    const nowMs = this.#activeAtMs;
    if (others || this.#partSinceMs === 0) this.#partSinceMs = nowMs;
    const { idleTimeoutMs, maxPartBytes } = this.#load.bounds;
    const isLate = nowMs - this.#partSinceMs > idleTimeoutMs;
    if (isLate || (part > longPartBytes && this.#load.all.partBytes > maxPartBytes)) this.#cut('unfinished');
  }

  #take(packet: Buffer): void {
    this.#chargeWaiting(1);
    this.usedAt = this.#load.use();
    this.#serve(packet, new TcpReply(this));
  }

  /** RFC 7828 §3.3.2: 0 where the connection is to end as soon as may be. */
  get idleMs(): number {
    return this.#draining ? 0 : this.#load.bounds.idleTimeoutMs;
  }

  /** There will be no answer to one of its queries. */
  drop(): void {
    this.#chargeWaiting(-1);
    this.#resume();
    this.#endIfDone();
  }

  /** To one of its queries. */
  answer(message: Buffer, length: number): void {
    this.#chargeWaiting(-1);
    if (!this.#keepsAnswers()) {
      this.#tell('unsent');
      return;
    }
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      setImmediate(this.#onTurn);
    }
    this.#load.turns.spend(length);
    const frame = Buffer.allocUnsafe(2 + length);
    setU16(frame, 0, length);
    message.copy(frame, 2, 0, length);
    this.#activeAtMs = this.#load.clock.nowMs();
    if (this.#backlogBytes === 0) this.#takenAtMs = this.#activeAtMs;
    this.#socket.write(frame, this.#onWritten);
    this.#chargeBacklog(this.#backlogBytes + frame.length);
  }

  /** False where the next answer is lost. */
  #keepsAnswers(): boolean {
    if (this.#socket.destroyed || this.#overfull) return false;
    if (this.#load.keeps(this.client, this.#backlogBytes)) return true;
    // What has come in this turn has not been shown to the kernel yet: of a client that reads it takes some.
    this.#handOver();
    if (this.#corked) this.#socket.cork();
    if (this.#load.keeps(this.client, this.#backlogBytes)) return true;
    // What waits has its time to be read: whoever reads it knows by the end behind it that the rest is to be asked for anew.
    this.#tell('unread');
    this.#overfull = true;
    this.finish();
    this.#socket.end();
    return false;
  }

  #handOver(): void {
    this.#socket.uncork();
    const { destroyed, writableNeedDrain, writableEnded, writableLength } = this.#socket;
    // What the kernel has taken waits no more; for the rest there will be a `drain`, or a `finish` where our end stands behind it.
    this.#chargeBacklog((writableNeedDrain || writableEnded) && !destroyed ? writableLength : 0);
  }

  #flush(): void {
    this.#corked = false;
    this.#handOver();
    this.#resume();
    this.#endIfDone();
    // One look at the socket later: whoever sends several queries in a row has sent the next one by now.
    if (this.#draining) setImmediate(() => this.#finishIfQuiet());
  }

  /** Who has something under way waits where there is no room: what is under way ends, and then it goes on. */
  #isFull(): boolean {
    const { client } = this;
    const { all, bounds } = this.#load;
    const { maxWaiting, maxBacklogBytes } = bounds;
    return (
      this.#waiting >= maxWaiting.connection ||
      this.#backlogBytes > maxBacklogBytes.connection ||
      (this.#waiting > 0 && (client.waiting >= maxWaiting.client || all.waiting >= maxWaiting.all)) ||
      (this.#backlogBytes > 0 &&
        (client.backlogBytes > maxBacklogBytes.client || all.backlogBytes > maxBacklogBytes.all))
    );
  }

  #resume(): void {
    if (this.#taking || this.#isHeldUp || !this.#socket.isPaused()) return;
    if (!this.#finished) this.#takeFrames();
    if (!this.#isHeldUp && (this.#finished || !this.#isFull())) this.#socket.resume();
  }

  #endIfDone(): void {
    // The client's end is told of a full connection as well, whose last queries have not been taken yet.
    const isTaken = this.#finished || !this.#socket.isPaused();
    if (this.#ended && isTaken && this.#waiting === 0) this.#socket.end();
  }

  #finishIfQuiet(): void {
    const hasMore = this.#received.length > 0 || this.#socket.isPaused();
    if (this.#waiting === 0 && !this.#corked && !hasMore) this.finish();
  }

  #watchFor(delayMs: number): void {
    this.#watch.cancel();
    this.#watch = this.#load.clock.after(delayMs, this.#look);
  }

  /** Set once, and moved only when it has come: traffic costs no timer. */
  #beIdleIfDue(): void {
    const { clock, bounds } = this.#load;
    const limitMs = this.#draining ? bounds.drainIdleMs : bounds.idleTimeoutMs;
    // Who asks on and does not read is not busy.
    const sinceMs = this.#backlogBytes > 0 && !this.#draining ? this.#takenAtMs : this.#activeAtMs;
    const leftMs = sinceMs + limitMs - clock.nowMs();
    if (leftMs <= 0) this.#beIdle();
    if (!this.#socket.destroyed) this.#watchFor(leftMs > 0 ? leftMs : limitMs);
  }

  #beIdle(): void {
    if (this.#draining) {
      if (this.#waiting === 0) this.finish();
    } else if (this.#backlogBytes > 0) this.#cut('unread');
    else if (this.#received.length > 0) this.#cut('unfinished');
    else this.#socket.destroy();
  }
}
