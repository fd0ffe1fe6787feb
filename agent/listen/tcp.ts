import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { setU16, u16 } from '../wire/octets.ts';
import { type ListenAddress, ListenError, type Listener, type ServePacket } from './listener.ts';
import { openSocket, steer } from './sockets.ts';

export interface TcpBounds {
  /** RFC 7766 §6.2.3: idle connections close after some seconds. */
  idleTimeoutMs: number;
  /** The same, once the listener closes. */
  drainIdleMs: number;
  /** RFC 7766 §6.2.2: bounds on connections, in all and per client, so that none of them starves the others. */
  maxConnections: number;
  maxConnectionsPerClient: number;
  /** Answers that a slow reader leaves waiting; over it nothing more is taken from that client. */
  maxBacklogBytes: number;
  /** Queries of one connection that wait for an upstream; over it nothing more is taken from that client. */
  maxWaiting: number;
}

const usualBounds: TcpBounds = {
  idleTimeoutMs: 10_000,
  drainIdleMs: 100,
  maxConnections: 1_000,
  maxConnectionsPerClient: 100,
  maxBacklogBytes: 1 << 20,
  maxWaiting: 256,
};

/** A handshake that is under way, of a client on this node, ends well within it. */
const handshakeMs = 20;
/** How long a connection that has just been opened may take to ask something, where nobody else would be asked instead. */
const firstQueryMs = 300;

/** Opens a TCP listener; rejects with a {@link ListenError}. */
export function openTcp(at: ListenAddress, serve: ServePacket, changes: Partial<TcpBounds> = {}): Promise<Listener> {
  const bounds = { ...usualBounds, ...changes };
  return new Promise((resolve, reject) => {
    // A throw rejects.
    const fd = at.transparent ? openSocket(at, 'TCP') : undefined;
    const connections = new Set<Connection>();
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const address = socket.remoteAddress ?? '';
      let sameClient = 0;
      for (const connection of connections) if (connection.client === address) sameClient += 1;
      if (sameClient >= bounds.maxConnectionsPerClient) {
        socket.destroy();
        return;
      }
      const connection = new Connection(socket, address, serve, bounds, () => connections.delete(connection));
      connections.add(connection);
    });
    server.maxConnections = bounds.maxConnections;
    server.once('error', (error) => reject(new ListenError(at, 'TCP', error)));
    const where = fd === undefined ? { host: at.address, port: at.port, ipv6Only: isIPv6(at.address) } : { fd };
    server.listen({ ...where, exclusive: true }, () => {
      server.removeAllListeners('error');
      server.on('error', () => {});
      resolve(new TcpListener(server, connections, fd));
    });
  });
}

/**
 * One client's connection: frames of a two-octet length and a message (RFC 1035 §4.2.2), split over and joined in chunks; answers
 * leave as they come, in any order (RFC 7766 §7). A client that has closed its half still gets its answers.
 */
class Connection {
  readonly client: string;
  readonly #socket: Socket;
  readonly #serve: ServePacket;
  readonly #bounds: TcpBounds;
  #received: Buffer = Buffer.alloc(0);
  #waiting = 0;
  #taking = false;
  /** The client asks nothing more. */
  #ended = false;
  #draining = false;
  /** We answer nothing more. */
  #finished = false;
  #corked = false;

  constructor(socket: Socket, client: string, serve: ServePacket, bounds: TcpBounds, onClosed: () => void) {
    this.client = client;
    this.#socket = socket;
    this.#serve = serve;
    this.#bounds = bounds;
    socket.setTimeout(bounds.idleTimeoutMs);
    socket.on('timeout', () => this.#beIdle());
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('end', () => {
      this.#ended = true;
      this.#endIfDone();
    });
    socket.on('drain', () => this.#resume());
    socket.on('error', () => socket.destroy());
    socket.on('close', onClosed);
  }

  /**
   * The client is to go elsewhere, and must not lose a query that is on its way: what comes is answered, and the end follows on
   * the heels of an answer, when the next query is as far off as it ever is, or after a silence.
   */
  drain(): void {
    this.#draining = true;
    this.#socket.setTimeout(this.#bounds.drainIdleMs);
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
    if (this.#finished) return;
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    this.#takeFrames();
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
      this.#take(data.subarray(at + 2, end));
      at = end;
    }
    this.#received = data.subarray(at);
    this.#taking = false;
    if (this.#isFull()) this.#socket.pause();
  }

  #take(packet: Buffer): void {
    this.#waiting += 1;
    this.#serve(packet, {
      overTcp: true,
      client: this.client,
      // RFC 7828 §3.3.2: 0 where the connection is to end as soon as may be.
      idleMs: this.#draining ? 0 : this.#bounds.idleTimeoutMs,
      send: (message, length) => this.#write(message, length),
      drop: () => {
        this.#waiting -= 1;
        this.#resume();
        this.#endIfDone();
      },
    });
  }

  #write(message: Buffer, length: number): void {
    this.#waiting -= 1;
    if (this.#socket.destroyed) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      setImmediate(() => this.#flush());
    }
    const frame = Buffer.allocUnsafe(2 + length);
    setU16(frame, 0, length);
    message.copy(frame, 2, 0, length);
    this.#socket.write(frame);
  }

  #flush(): void {
    this.#corked = false;
    this.#socket.uncork();
    this.#resume();
    this.#endIfDone();
    // One look at the socket later: whoever sends several queries in a row has sent the next one by now.
    if (this.#draining) setImmediate(() => this.#finishIfQuiet());
  }

  #isFull(): boolean {
    const { maxWaiting, maxBacklogBytes } = this.#bounds;
    return this.#waiting >= maxWaiting || this.#socket.writableLength > maxBacklogBytes;
  }

  #resume(): void {
    if (this.#ended || !this.#socket.isPaused()) return;
    this.#takeFrames();
    if (!this.#isFull()) this.#socket.resume();
  }

  #endIfDone(): void {
    if (this.#ended && this.#waiting === 0) this.#socket.end();
  }

  #finishIfQuiet(): void {
    const hasMore = this.#received.length > 0 || this.#socket.isPaused();
    if (this.#waiting === 0 && !this.#corked && !hasMore) this.finish();
  }

  #beIdle(): void {
    if (!this.#draining) this.#socket.destroy();
    else if (this.#waiting === 0) this.finish();
  }
}

class TcpListener implements Listener {
  readonly port: number;
  readonly steer: Listener['steer'];
  readonly #server: Server;
  readonly #connections: Set<Connection>;
  #accepted = 0;

  constructor(server: Server, connections: Set<Connection>, fd: number | undefined) {
    this.#server = server;
    this.#connections = connections;
    const address = server.address();
    this.port = typeof address === 'object' && address !== null ? address.port : 0;
    this.steer = fd === undefined ? undefined : (index) => steer(fd, index);
    server.on('connection', () => {
      this.#accepted += 1;
    });
  }

  async close(graceMs: number): Promise<void> {
    const endsAtMs = performance.now() + graceMs;
    if (this.steer !== undefined) await this.#settle(endsAtMs);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections) connection.drain();
    const leftMs = Math.max(0, endsAtMs - performance.now());
    const timers = [
      // Where something is always under way, no moment is better than another; what is under way has as much time again.
      this.#eachIn(leftMs / 2, (connection) => connection.finish()),
      this.#eachIn(leftMs, (connection) => connection.destroy()),
    ];
    await closed;
    for (const timer of timers) clearTimeout(timer);
  }

  #eachIn(delayMs: number, act: (connection: Connection) => void): NodeJS.Timeout {
    return setTimeout(() => this.#connections.forEach(act), delayMs);
  }

  /**
   * Where new connections already go elsewhere, those that came before are seen through: the kernel would reset what it has
   * not handed over yet when the socket closes, and a connection that has just been made has its first query on the way.
   */
  async #settle(graceEndsAtMs: number): Promise<void> {
    const endsAtMs = Math.min(graceEndsAtMs, performance.now() + firstQueryMs);
    for (let before = -1; before !== this.#accepted || this.#isAwaited(); ) {
      if (performance.now() >= endsAtMs) return;
      before = this.#accepted;
      await new Promise((resolve) => setTimeout(resolve, handshakeMs));
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #isAwaited(): boolean {
    for (const connection of this.#connections) if (!connection.hasAsked) return true;
    return false;
  }
}
