import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isV6Address } from '../../api/v1alpha1/address.ts';
import type { Reply } from '../server/server.ts';
import { drained } from './drain.ts';
import { type ListenAddress, ListenError, type Listener, type ServePacket, type TellMishap } from './listener.ts';
import { keepToGroup, openSocket, receiveBufferBytes, steer } from './sockets.ts';

/** Opens a UDP socket through Node's own `dgram`, as far as system calls are not needed; rejects with a {@link ListenError}. */
export function openDgram(at: ListenAddress, serve: ServePacket, tell: TellMishap = () => {}): Promise<Listener> {
  return new Promise((resolve, reject) => {
    // A throw rejects.
    const fd = at.transparent ? openSocket(at, 'UDP') : undefined;
    const socket = createSocket(isV6Address(at.address) ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' });
    socket.once('error', (error) => reject(new ListenError(at, 'UDP', error)));
    const ready = () => {
      socket.removeAllListeners('error');
      // A client that went away shows as an error of the socket; it concerns no other client.
      socket.on('error', () => tell('unsent'));
      resolve(new DgramListener(socket, serve, tell, fd));
    };
    if (fd !== undefined) {
      socket.bind({ fd }, ready);
      keepToGroup(fd);
      return;
    }
    socket.bind({ address: at.address, port: at.port, exclusive: true }, () => {
      try {
        socket.setRecvBufferSize(receiveBufferBytes);
      } catch {
        // The kernel's own size serves as well, with less room for bursts.
      }
      ready();
    });
  });
}

class DgramReply implements Reply {
  readonly overTcp = false;
  readonly #listener: DgramListener;
  readonly #remote: RemoteInfo;
  readonly #open: Set<DgramReply>;

  constructor(listener: DgramListener, remote: RemoteInfo, open: Set<DgramReply>) {
    this.#listener = listener;
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
    this.#listener.send(message, length, this.#remote);
  }
}

class DgramListener implements Listener {
  readonly port: number;
  readonly steer: Listener['steer'];
  readonly #socket: Socket;
  readonly #open = new Set<DgramReply>();
  readonly #tell: TellMishap;
  readonly #onSent = (error: Error | null) => {
    if (error) this.#tell('unsent');
  };
  #received = 0;
  #closed = false;

  constructor(socket: Socket, serve: ServePacket, tell: TellMishap, fd: number | undefined) {
    this.#socket = socket;
    this.#tell = tell;
    this.port = socket.address().port;
    this.steer = fd === undefined ? undefined : (index) => steer(fd, index);
    socket.on('message', (packet, remote) => {
      this.#received += 1;
      if (remote.port === 0) tell('forged');
      else serve(packet, new DgramReply(this, remote, this.#open));
    });
  }

  send(message: Buffer, length: number, { port, address }: RemoteInfo): void {
    if (this.#closed) this.#tell('unsent');
    // The send may be queued in the socket, and the message's buffer is used again at once: it needs a copy.
    else this.#socket.send(Buffer.from(message.subarray(0, length)), port, address, this.#onSent);
  }

  async close(graceMs: number): Promise<void> {
    const queued = () => this.#open.size + this.#socket.getSendQueueCount();
    await drained(graceMs, () => this.#received, queued);
    this.#closed = true;
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }
}
