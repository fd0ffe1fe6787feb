import { createServer, type Server } from 'node:net';
import { isV6Address } from '../../api/v1alpha1/address.ts';
import { type ListenAddress, ListenError, type Listener, type ServePacket, type TellMishap } from './listener.ts';
import { openSocket, steer } from './sockets.ts';
import { TcpConnection } from './tcp-connection.ts';
import { TcpLoad } from './tcp-load.ts';

/** Of the answers that wait for a slow reader this much is charged to nobody. */
const unchargedBytes = 16 * 1024;

/** A handshake that is under way, of a client on this node, ends well within it. */
const handshakeMs = 20;
/** How long a connection that has just been opened may take to ask something, where nobody else would be asked instead. */
const firstQueryMs = 300;

/**
 * Opens a TCP listener; rejects with a {@link ListenError}.
 * @param load what it shares with the other listeners
 */
export function openTcp(
  at: ListenAddress,
  serve: ServePacket,
  tell: TellMishap = () => {},
  load = new TcpLoad(),
): Promise<Listener> {
  return new Promise((resolve, reject) => {
    // A throw rejects.
    const fd = at.transparent ? openSocket(at, 'TCP') : undefined;
    const connections = new Set<TcpConnection>();
    const server = createServer({ allowHalfOpen: true, noDelay: true, highWaterMark: unchargedBytes }, (socket) => {
      const address = socket.remoteAddress ?? '';
      const refusal = load.refusal(address);
      if (refusal !== undefined) {
        tell(refusal);
        socket.destroy();
        return;
      }
      const connection = new TcpConnection(socket, address, serve, load, tell, () => connections.delete(connection));
      connections.add(connection);
    });
    server.once('error', (error) => reject(new ListenError(at, 'TCP', error)));
    const where = fd === undefined ? { host: at.address, port: at.port, ipv6Only: isV6Address(at.address) } : { fd };
    server.listen({ ...where, exclusive: true }, () => {
      server.removeAllListeners('error');
      server.on('error', () => {});
      resolve(new TcpListener(server, connections, fd));
    });
  });
}

class TcpListener implements Listener {
  readonly port: number;
  readonly steer: Listener['steer'];
  readonly #server: Server;
  readonly #connections: Set<TcpConnection>;
  #accepted = 0;

  constructor(server: Server, connections: Set<TcpConnection>, fd: number | undefined) {
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

  #eachIn(delayMs: number, act: (connection: TcpConnection) => void): NodeJS.Timeout {
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
