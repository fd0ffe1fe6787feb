import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { setU16, u16 } from '../wire/octets.ts';
import { type ListenAddress, ListenError, type Listener, type ServePacket } from './listener.ts';

/** RFC 7766 §6.2.3: idle connections close after some seconds. */
const idleTimeoutMs = 10_000;
/** RFC 7766 §6.2.2: bounds on connections, in all and per client, so that none of them starves the others. */
const maxConnections = 1_000;
const maxConnectionsPerClient = 100;
/** Answers that a slow reader leaves waiting; over it nothing more is read from that client. */
const maxBacklogBytes = 1 << 20;
/** Queries of one connection that wait for an upstream; over it nothing more is read from that client. */
const maxWaiting = 256;

/** Opens a TCP listener; rejects with a {@link ListenError}. */
export function openTcp(at: ListenAddress, serve: ServePacket): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const connections = new Set<Connection>();
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const address = socket.remoteAddress ?? '';
      let sameClient = 0;
      for (const connection of connections) if (connection.client === address) sameClient += 1;
      if (sameClient >= maxConnectionsPerClient) {
        socket.destroy();
        return;
      }
      const connection = new Connection(socket, address, serve, () => connections.delete(connection));
      connections.add(connection);
    });
    server.maxConnections = maxConnections;
    server.once('error', (error) => reject(new ListenError(at, 'TCP', error)));
    server.listen({ host: at.address, port: at.port, exclusive: true, ipv6Only: isIPv6(at.address) }, () => {
      server.removeAllListeners('error');
      server.on('error', () => {});
      resolve(new TcpListener(server, connections));
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
  #received: Buffer = Buffer.alloc(0);
  #waiting = 0;
  #ended = false;
  #corked = false;

  constructor(socket: Socket, client: string, serve: ServePacket, onClosed: () => void) {
    this.client = client;
    this.#socket = socket;
    this.#serve = serve;
    socket.setTimeout(idleTimeoutMs, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('end', () => {
      this.#ended = true;
      this.#endIfDone();
    });
    socket.on('drain', () => this.#resume());
    socket.on('error', () => socket.destroy());
    socket.on('close', onClosed);
  }

  /** No further queries; ends once what was asked is answered. */
  finish(): void {
    this.#ended = true;
    this.#socket.pause();
    this.#endIfDone();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    const data = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    let at = 0;
    while (at + 2 <= data.length) {
      const end = at + 2 + u16(data, at);
      if (end > data.length) break;
      this.#take(data.subarray(at + 2, end));
      at = end;
    }
    this.#received = data.subarray(at);
    if (this.#isFull()) this.#socket.pause();
  }

  #take(packet: Buffer): void {
    this.#waiting += 1;
    this.#serve(packet, {
      overTcp: true,
      client: this.client,
      send: (message, length) => this.#write(message, length),
      drop: () => {
        this.#waiting -= 1;
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
  }

  #isFull(): boolean {
    return this.#waiting >= maxWaiting || this.#socket.writableLength > maxBacklogBytes;
  }

  #resume(): void {
    if (!this.#ended && this.#socket.isPaused() && !this.#isFull()) this.#socket.resume();
  }

  #endIfDone(): void {
    if (this.#ended && this.#waiting === 0) this.#socket.end();
  }
}

class TcpListener implements Listener {
  readonly port: number;
  readonly #server: Server;
  readonly #connections: Set<Connection>;

  constructor(server: Server, connections: Set<Connection>) {
    this.#server = server;
    this.#connections = connections;
    const address = server.address();
    this.port = typeof address === 'object' && address !== null ? address.port : 0;
  }

  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections) connection.finish();
    const grace = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, graceMs);
    await closed;
    clearTimeout(grace);
  }
}
