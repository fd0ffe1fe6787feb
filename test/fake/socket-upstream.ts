import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { formatEndpoint } from '../../api/v1alpha1/address.ts';
import { type AnswerParts, buildAnswer, readMessage } from './message.ts';
import type { Respond, UpstreamQuery } from './upstream.ts';

const address = '127.0.0.1';
const openTries = 20;

/** An upstream server on real sockets, UDP and TCP on one port of the loopback, scripted as the one in memory. */
export class SocketUpstream {
  readonly queries: UpstreamQuery[] = [];
  /** Connections that clients have opened so far. */
  accepted = 0;
  respond: Respond;
  #port = 0;
  #udp: UdpSocket | undefined;
  #tcp: Server | undefined;
  readonly #connections = new Set<Socket>();

  constructor(respond: Respond = () => {}) {
    this.respond = respond;
  }

  get endpoint(): string {
    return formatEndpoint({ address, port: this.#port });
  }

  get port(): number {
    return this.#port;
  }

  /** Connections that are open now. */
  get connections(): ReadonlySet<Socket> {
    return this.#connections;
  }

  /** On a port of the system's choice, and on the same one again after {@link SocketUpstream.close}. */
  async open(transports: { udp?: boolean; tcp?: boolean } = {}): Promise<this> {
    const { udp = true, tcp = true } = transports;
    for (let left = openTries; ; left -= 1) {
      try {
        // A transport that is not served holds its port until both are known, so that the other one is free on it.
        await this.#openTcp();
        await this.#openUdp();
        break;
      } catch (error) {
        const port = this.#port;
        await this.close();
        if (left === 0) throw error;
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || this.queries.length > 0) throw error;
        this.#port = port === this.#port ? 0 : this.#port;
      }
    }
    if (!udp) await this.#closeUdp();
    if (!tcp) await this.#closeTcp();
    return this;
  }

  /** From now on the port is closed; connections are lost. */
  async close(): Promise<void> {
    await Promise.all([this.#closeUdp(), this.#closeTcp()]);
  }

  async #openTcp(): Promise<void> {
    const server = createServer((socket) => this.#accept(socket));
    server.listen(this.#port, address);
    await once(server, 'listening');
    this.#tcp = server;
    const bound = server.address();
    if (typeof bound === 'object' && bound !== null) this.#port = bound.port;
  }

  async #openUdp(): Promise<void> {
    const socket = createSocket('udp4');
    socket.bind(this.#port, address);
    await once(socket, 'listening');
    socket.on('error', () => {});
    socket.on('message', (bytes, remote) => {
      this.#take(bytes, false, {
        send: (message) => socket.send(message, remote.port, remote.address),
        fail: () => {},
      });
    });
    this.#udp = socket;
  }

  #accept(socket: Socket): void {
    this.accepted += 1;
    this.#connections.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.#connections.delete(socket));
    let received = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const bytes = Buffer.from(received.subarray(2, 2 + received.readUInt16BE(0)));
        received = received.subarray(2 + bytes.length);
        this.#take(bytes, true, {
          send: (message) => {
            const frame = Buffer.alloc(2 + message.length);
            frame.writeUInt16BE(message.length);
            message.copy(frame, 2);
            socket.write(frame);
          },
          fail: () => void socket.destroy(),
        });
      }
    });
  }

  #take(bytes: Buffer, overTcp: boolean, { send, fail }: { send: (message: Buffer) => void; fail: () => void }): void {
    const query: UpstreamQuery = {
      server: this.endpoint,
      overTcp,
      bytes,
      question: readMessage(bytes),
      atMs: performance.now(),
      answer: (parts?: AnswerParts) => send(buildAnswer(bytes, parts)),
      send,
      fail,
    };
    this.queries.push(query);
    this.respond(query);
  }

  async #closeUdp(): Promise<void> {
    const socket = this.#udp;
    this.#udp = undefined;
    if (socket !== undefined) await new Promise<void>((resolve) => socket.close(() => resolve()));
  }

  async #closeTcp(): Promise<void> {
    const server = this.#tcp;
    this.#tcp = undefined;
    for (const socket of this.#connections) socket.destroy();
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }
}
