/** Where a scenario is played: the agent's serving side, and servers for it to ask, in memory or over real sockets. */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { Destinations } from '../../agent/block-source.ts';
import { Builder } from '../../agent/build.ts';
import { ResponseCache } from '../../agent/cache/response-cache.ts';
import { Swap } from '../../agent/config/swap.ts';
import { deadlineMs } from '../../agent/forward/race.ts';
import { byRendezvous } from '../../agent/forward/rendezvous.ts';
import { networkTransport, type Transport } from '../../agent/forward/transport.ts';
import type { ListenerName } from '../../agent/listen/listeners.ts';
import { listenerCounts } from '../../agent/server/plan.ts';
import { Server } from '../../agent/server/server.ts';
import type { ServerLog } from '../../agent/server/server-log.ts';
import { Tallies } from '../../agent/tallies.ts';
import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import { type FakeClock, settle } from '../fake/clock.ts';
import { SocketUpstream } from '../fake/socket-upstream.ts';
import { FakeUpstreams, type UpstreamQuery } from '../fake/upstream.ts';
import type { Place } from './script.ts';

export interface Stage {
  /** How long to wait in real time for what must come; 0 where everything happens in memory. */
  readonly patienceMs: number;
  /** What this server received, in order. */
  received(server: string): readonly UpstreamQuery[];
  endpointOf(server: string): Promise<string>;
  close(server: string, transports: { udp: boolean; tcp: boolean }): Promise<void>;
  open(server: string): Promise<void>;
  apply(config: NodeConfig, destinations: Destinations): Promise<void>;
  /** The agent ends, and the next one restores its cache when it applies its first configuration. */
  restart(): void;
  ask(
    listener: ListenerName,
    overTcp: boolean,
    from: string,
    packet: Buffer,
    onAnswer: (message: Buffer) => void,
  ): void;
  /** Until nothing happens any more without time. */
  settle(): Promise<void>;
  end(): Promise<void>;
}

const cacheBytes = 1 << 20;
const nodeName = 'node';

/** A node prefers some endpoints of cluster DNS to others: scripts name servers in the order of its preference. */
function isLastChoice(endpoint: string, others: readonly string[]): boolean {
  return byRendezvous(nodeName, [...others, endpoint]).at(-1) === endpoint;
}

/** A bug in the agent, and not an outcome: the scenario fails with it. */
export class Exceptions {
  readonly seen: unknown[] = [];
  readonly log: ServerLog = {
    query: () => true,
    failure: () => {},
    exceptionOfSearchPath: () => {},
    privateAnswer: () => {},
    exception: (error) => this.seen.push(error),
  };
}

export function openStage(place: Place, clock: FakeClock, random: () => number, exceptions: Exceptions): Stage {
  return place === 'memory'
    ? new MemoryStage(clock, random, exceptions.log)
    : new SocketStage(clock, random, exceptions.log);
}

class MemoryStage implements Stage {
  readonly patienceMs = 0;
  readonly #clock: FakeClock;
  readonly #log: ServerLog;
  readonly #random: () => number;
  readonly #upstreams: FakeUpstreams;
  #builder: Builder;
  /** What the agent before left. */
  #snapshot: Buffer | undefined;
  readonly #servers = new Map<ListenerName, Server>();
  readonly #endpoints = new Map<string, string>();
  readonly #received = new Map<string, UpstreamQuery[]>();
  readonly #closed = new Map<string, { udp: boolean; tcp: boolean }>();

  constructor(clock: FakeClock, random: () => number, log: ServerLog) {
    this.#clock = clock;
    this.#log = log;
    this.#random = random;
    this.#upstreams = new FakeUpstreams(clock, (query) => this.#take(query));
    this.#builder = this.#newBuilder();
  }

  #newBuilder(): Builder {
    const cache = new ResponseCache(cacheBytes);
    return new Builder(nodeName, cache, this.#upstreams, this.#clock, new Tallies(() => {}), this.#random);
  }

  received(server: string): readonly UpstreamQuery[] {
    return this.#received.get(this.#endpoint(server)) ?? [];
  }

  async endpointOf(server: string): Promise<string> {
    return this.#endpoint(server);
  }

  async close(server: string, transports: { udp: boolean; tcp: boolean }): Promise<void> {
    this.#closed.set(this.#endpoint(server), transports);
  }

  async open(server: string): Promise<void> {
    this.#closed.delete(this.#endpoint(server));
  }

  async apply(config: NodeConfig, destinations: Destinations): Promise<void> {
    const { plans, commit } = this.#builder.build(config, destinations);
    this.#restore();
    for (const [name, plan] of plans) {
      const serving = this.#servers.get(name);
      if (serving !== undefined) serving.swap(plan);
      else this.#servers.set(name, new Server(plan, this.#clock, new Float64Array(listenerCounts), this.#log));
    }
    commit();
  }

  restart(): void {
    const frames: Buffer[] = [];
    for (const frame of this.#builder.snapshot(this.#clock.nowMs(), () => false)) frames.push(Buffer.from(frame ?? ''));
    this.#snapshot = Buffer.concat(frames);
    this.#builder = this.#newBuilder();
    this.#servers.clear();
  }

  #restore(): void {
    if (this.#snapshot === undefined) return;
    const reader = this.#builder.reader(this.#clock.nowMs());
    const trouble = reader.push(this.#snapshot) ?? reader.finish();
    if (trouble !== undefined) throw new Error(`the snapshot is refused: ${trouble}`);
    for (const _ of reader.store());
    this.#snapshot = undefined;
  }

  ask(
    listener: ListenerName,
    overTcp: boolean,
    from: string,
    packet: Buffer,
    onAnswer: (message: Buffer) => void,
  ): void {
    const server = this.#servers.get(listener);
    if (server === undefined) throw new Error(`there is no ${listener} listener`);
    server.serve(packet, {
      overTcp,
      client: from,
      send: (message, length) => onAnswer(Buffer.from(message.subarray(0, length))),
      drop: () => {},
    });
    // The listener's buffer is used again for the next packet.
    packet.fill(0xff);
  }

  settle(): Promise<void> {
    return settle();
  }

  async end(): Promise<void> {}

  #endpoint(server: string): string {
    const known = this.#endpoints.get(server);
    if (known !== undefined) return known;
    const others = [...this.#endpoints.values()];
    for (let host = 1; ; host += 1) {
      const endpoint = `192.0.2.${host}:53`;
      if (others.includes(endpoint) || !isLastChoice(endpoint, others)) continue;
      this.#endpoints.set(server, endpoint);
      return endpoint;
    }
  }

  #take(query: UpstreamQuery): void {
    if (this.#closed.get(query.server)?.[query.overTcp ? 'tcp' : 'udp']) {
      query.fail('connection refused');
      return;
    }
    const received = this.#received.get(query.server) ?? [];
    this.#received.set(query.server, received);
    received.push(query);
  }
}

/** Sockets are real, time is not: timeouts still pass by the scenario's clock. */
class SocketStage implements Stage {
  readonly patienceMs = 5_000;
  readonly #clock: FakeClock;
  readonly #transport: Transport;
  readonly #swap: Swap;
  readonly #upstreams = new Map<string, SocketUpstream>();
  readonly #clients = new Set<{ close(): void }>();

  constructor(clock: FakeClock, random: () => number, log: ServerLog) {
    const tallies = new Tallies(() => {});
    this.#clock = clock;
    this.#transport = networkTransport(clock);
    const builder = new Builder(nodeName, new ResponseCache(cacheBytes), this.#transport, clock, tallies, random);
    this.#swap = new Swap(builder, clock, this.#transport, tallies, log);
  }

  received(server: string): readonly UpstreamQuery[] {
    return this.#upstreams.get(server)?.queries ?? [];
  }

  async endpointOf(server: string): Promise<string> {
    const known = this.#upstreams.get(server);
    if (known !== undefined) return known.endpoint;
    const others = [...this.#upstreams.values()].map(({ endpoint }) => endpoint);
    for (;;) {
      const opened = await new SocketUpstream().open();
      if (isLastChoice(opened.endpoint, others)) {
        this.#upstreams.set(server, opened);
        return opened.endpoint;
      }
      await opened.close();
    }
  }

  async close(server: string, transports: { udp: boolean; tcp: boolean }): Promise<void> {
    await this.endpointOf(server);
    const upstream = this.#upstreams.get(server);
    await upstream?.close();
    if (!transports.udp) await upstream?.open({ tcp: false });
  }

  async open(server: string): Promise<void> {
    await this.#upstreams.get(server)?.close();
    await this.#upstreams.get(server)?.open();
  }

  apply(config: NodeConfig, destinations: Destinations): Promise<void> {
    const any = [{ address: '127.0.0.1', port: 0 }];
    const listen = Object.fromEntries(config.listeners.map(({ name }) => [name, any]));
    return this.#swap.apply({ config, destinations, listen });
  }

  restart(): void {
    throw new Error('a restart is played in memory');
  }

  ask(
    listener: ListenerName,
    overTcp: boolean,
    from: string,
    packet: Buffer,
    onAnswer: (message: Buffer) => void,
  ): void {
    const at = this.#swap.listening.find(({ name }) => name === listener);
    if (at === undefined) throw new Error(`there is no ${listener} listener`);
    if (!overTcp) {
      const socket = createSocket('udp4');
      this.#clients.add(socket);
      socket.on('message', (message) => onAnswer(message));
      socket.bind(0, from, () => socket.send(packet, at.port, at.address));
      return;
    }
    const socket = connect({ host: at.address, port: at.port, localAddress: from });
    this.#clients.add({ close: () => socket.destroy() });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(packet.length);
    socket.write(Buffer.concat([length, packet]));
    let received = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      onAnswer(received.subarray(2, 2 + received.readUInt16BE(0)));
      received = received.subarray(2 + received.readUInt16BE(0));
    });
  }

  /** What was sent over the loopback is in the receiver's buffer already: some loop turns read and answer it. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 10; turn += 1) await settle();
  }

  async end(): Promise<void> {
    for (const client of this.#clients) client.close();
    const closed = this.#swap.close();
    // Listeners close once every query has ended: those that the script left open end with their deadline.
    await this.#clock.advance(deadlineMs);
    await closed;
    this.#transport.close();
    await Promise.all([...this.#upstreams.values()].map((upstream) => upstream.close()));
  }
}
