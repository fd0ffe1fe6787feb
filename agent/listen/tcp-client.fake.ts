/** A TCP listener for tests, its clients, and a server that answers when the test says so. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach } from 'node:test';
import type { Reply } from '../server/server.ts';
import type { Listener, Mishap, ServePacket } from './listener.ts';
import { openTcp } from './tcp.ts';
import { type TcpBounds, TcpLoad } from './tcp-load.ts';

export const loopback = { address: '127.0.0.1', port: 0 };
/** Longer than any of these tests may take. */
export const longMs = 100_000;
/** No bound that any of these tests reaches. */
export const room = { connection: 1e9, client: 1e9, all: 1e9 };

/** Everything that one test opened. */
export const opened: { listeners: Listener[]; sockets: Socket[] } = { listeners: [], sockets: [] };
/** What the listeners have told. */
export const mishaps: Mishap[] = [];
/** What a connection of an earlier test tells, as it goes, is not for this one. */
let tests = 0;

afterEach(async () => {
  for (const socket of opened.sockets) socket.destroy();
  await Promise.all(opened.listeners.map((listener) => listener.close(0)));
  for (const list of [opened.listeners, opened.sockets, mishaps]) list.length = 0;
  tests += 1;
});

export async function listen(
  serve: ServePacket,
  bounds: Partial<TcpBounds> = {},
  load = new TcpLoad({ idleTimeoutMs: longMs, drainIdleMs: longMs, ...bounds }),
): Promise<Listener> {
  const own = tests;
  const tell = (what: Mishap) => {
    if (own === tests) mishaps.push(what);
  };
  const listener = await openTcp(loopback, serve, tell, load);
  opened.listeners.push(listener);
  return listener;
}

/** A client that collects frames; `ended` once the server has closed its half, or everything. */
export class Client {
  readonly socket: Socket;
  readonly frames: string[] = [];
  ended = false;
  #received = Buffer.alloc(0);
  #changed: () => void = () => {};

  /** @param localAddress clients are told apart by it */
  constructor(port: number, localAddress = '127.0.0.1') {
    this.socket = connect({ port, host: '127.0.0.1', localAddress, allowHalfOpen: true, noDelay: true });
    opened.sockets.push(this.socket);
    this.socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      while (this.#received.length >= 2 && this.#received.length >= 2 + this.#received.readUInt16BE(0)) {
        const end = 2 + this.#received.readUInt16BE(0);
        this.frames.push(this.#received.toString('latin1', 2, end));
        this.#received = this.#received.subarray(end);
      }
      this.#changed();
    });
    const end = () => {
      this.ended = true;
      this.#changed();
    };
    this.socket.on('end', end).on('close', end).on('error', end);
  }

  write(...chunks: Buffer[]): void {
    for (const chunk of chunks) this.socket.write(chunk);
  }

  /** Waits for a state of this client, not for a time. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }
}

export function frame(text: string): Buffer {
  const octets = Buffer.from(text, 'latin1');
  return Buffer.concat([Buffer.of(octets.length >> 8, octets.length & 0xff), octets]);
}

export const echo: ServePacket = (packet, reply) => reply.send(packet, packet.length);

/** Keeps the replies, for the test to send them. */
export function held(): {
  serve: ServePacket;
  queries: { text: string; reply: Reply }[];
  until(count: number): Promise<void>;
} {
  const queries: { text: string; reply: Reply }[] = [];
  let changed = () => {};
  return {
    queries,
    serve: (packet, reply) => {
      queries.push({ text: packet.toString('latin1'), reply });
      changed();
    },
    until: async (count) => {
      while (queries.length < count) {
        await new Promise<void>((resolve) => {
          changed = resolve;
        });
      }
    },
  };
}

export function send({ reply }: { reply: Reply }, text: string): void {
  reply.send(Buffer.from(text, 'latin1'), text.length);
}

/** One round trip of somebody else: by then the listener has read all that it is going to read from the others. */
export async function bystander(port: number, address?: string): Promise<void> {
  const other = new Client(port, address);
  other.write(frame('b'));
  await other.until(() => other.frames.length === 1);
}

/** A connection on which one query has been answered. */
export async function idle(port: number, address?: string): Promise<Client> {
  const client = new Client(port, address);
  client.write(frame('i'));
  await client.until(() => client.frames.length === 1);
  return client;
}

/** What has one octet is answered at once. */
export const short = (serve: ServePacket): ServePacket => {
  return (packet, reply) => (packet.length === 1 ? echo : serve)(packet, reply);
};

/** Longer than what the kernel takes of a few. */
export const answer = 'x'.repeat(60_000);

/** Asks for 60 MB on one connection and reads nothing. */
export async function mute(port: number, address?: string): Promise<Client> {
  const client = new Client(port, address);
  await once(client.socket, 'connect');
  client.socket.pause();
  client.write(Buffer.concat(Array.from({ length: 1_000 }, () => frame('long'))));
  return client;
}
