import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Reply } from '../server/server.ts';
import { type ListenAddress, ListenError, type Listener, type ServePacket } from './listener.ts';

const receiveBufferBytes = 1 << 20;

/** Opens a UDP socket through Node's own `dgram`; rejects with a {@link ListenError}. */
export function openUdp(at: ListenAddress, serve: ServePacket): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(at.address) ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' });
    const open = new Set<UdpReply>();
    socket.once('error', (error) => reject(new ListenError(at, 'UDP', error)));
    socket.bind({ address: at.address, port: at.port, exclusive: true }, () => {
      socket.removeAllListeners('error');
      // A client that went away shows as an error of the socket; it concerns no other client.
      socket.on('error', () => {});
      try {
        socket.setRecvBufferSize(receiveBufferBytes);
      } catch {
        // The kernel's own size serves as well, with less room for bursts.
      }
      socket.on('message', (packet, remote) => {
        // Port 0 is forged: nothing can be sent there.
        if (remote.port !== 0) serve(packet, new UdpReply(socket, remote, open));
      });
      resolve(new UdpListener(socket, open));
    });
  });
}

class UdpReply implements Reply {
  readonly overTcp = false;
  readonly #socket: Socket;
  readonly #remote: RemoteInfo;
  readonly #open: Set<UdpReply>;

  constructor(socket: Socket, remote: RemoteInfo, open: Set<UdpReply>) {
    this.#socket = socket;
    this.#remote = remote;
    this.#open = open;
    open.add(this);
  }

  get client(): string {
    return this.#remote.address;
  }

  drop(): void {
    this.#open.delete(this);
  }

  send(message: Buffer, length: number): void {
    this.#open.delete(this);
    // The send may be queued in the socket, and the message's buffer is used again at once: it needs a copy.
    this.#socket.send(Buffer.from(message.subarray(0, length)), this.#remote.port, this.#remote.address);
  }
}

class UdpListener implements Listener {
  readonly port: number;
  readonly #socket: Socket;
  readonly #open: Set<UdpReply>;

  constructor(socket: Socket, open: Set<UdpReply>) {
    this.#socket = socket;
    this.#open = open;
    this.port = socket.address().port;
  }

  async close(graceMs: number): Promise<void> {
    const endsAtMs = performance.now() + graceMs;
    // Packets that the kernel has queued already are still served while the replies under way are waited for.
    do await new Promise((resolve) => setTimeout(resolve, 5));
    while (this.#open.size > 0 && performance.now() < endsAtMs);
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }
}
