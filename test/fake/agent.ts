/** The serving half of an agent, whole, between scripted clients and scripted upstreams, on a clock of the test's own. */

import type { Destinations } from '../../agent/block-source.ts';
import { Builder } from '../../agent/build.ts';
import { ResponseCache } from '../../agent/cache/response-cache.ts';
import { ListenerCount, type ListenerPlan, listenerCounts, ZoneCount } from '../../agent/server/plan.ts';
import { Server } from '../../agent/server/server.ts';
import type { QueryLine } from '../../agent/server/server-log.ts';
import { Tallies, type TallyNotice } from '../../agent/tallies.ts';
import type { ListenerConfig, NodeConfig, ServerBlockConfig } from '../../api/v1alpha1/node-config.ts';
import { FakeClock, settle } from './clock.ts';
import { type Reading, read } from './octets.ts';
import { FakeUpstreams, type UpstreamQuery } from './upstream.ts';

export const nodeDns = '192.0.2.1:53';
export const clusterDns = '192.0.2.10:53';

const rootBlock: ServerBlockConfig = {
  zone: '.',
  queryLogging: 'Error',
  protocol: 'PreferUDP',
  forwardDestination: 'VnetDNS',
  forwardPolicy: 'Sequential',
  maxConcurrent: 0,
  cacheDurationInSeconds: 3600,
  negativeCacheDurationInSeconds: 60,
  serveStaleDurationInSeconds: 3600,
  serveStale: 'Disable',
};

export interface AgentOptions {
  /** Changes to the root block. */
  root?: Partial<ServerBlockConfig>;
  /** Further blocks. */
  blocks?: ({ zone: string } & Partial<ServerBlockConfig>)[];
  upstreams?: NodeConfig['upstreams'];
  destinations?: Partial<Destinations>;
  cacheBytes?: number;
  /** What the configuration says beside its listener: hosts, redirects and the like. */
  local?: Partial<NodeConfig>;
}

/** What became of one packet. */
export interface Asked {
  answer: Buffer | undefined;
  dropped: boolean;
}

/** Upstream servers whose answers a test writes octet by octet. */
class OctetUpstreams extends FakeUpstreams {
  /** Undefined leaves the query waiting. */
  answer: (query: UpstreamQuery) => Buffer | undefined = () => undefined;

  override respond = (query: UpstreamQuery): void => {
    const octets = this.answer(query);
    if (octets !== undefined) query.send(octets);
  };

  /** The query that came last. */
  get last(): UpstreamQuery {
    const query = this.queries.at(-1);
    if (query === undefined) throw new Error('no upstream was asked');
    return query;
  }
}

export class FakeAgent {
  readonly clock = new FakeClock();
  readonly upstream = new OctetUpstreams(this.clock);
  readonly cache: ResponseCache;
  readonly counts = new Float64Array(listenerCounts);
  readonly queryLines: QueryLine[] = [];
  readonly exceptions: unknown[] = [];
  readonly exceptionsOfSearchPath: string[] = [];
  readonly privateAnswers: string[] = [];
  readonly server: Server;
  readonly #tallies: TallyNotice[] = [];
  readonly #build: (local: Partial<NodeConfig>) => ListenerPlan;

  constructor({
    root,
    blocks = [],
    upstreams = [],
    destinations,
    cacheBytes = 1 << 20,
    local = {},
  }: AgentOptions = {}) {
    this.cache = new ResponseCache(cacheBytes);
    const listener: ListenerConfig = {
      name: 'node',
      addresses: ['192.0.2.100'],
      intercept: false,
      tracked: false,
      serverBlocks: [{ ...rootBlock, ...root }, ...blocks.map((block) => ({ ...rootBlock, ...block }))],
    };
    const config = (more: Partial<NodeConfig>): NodeConfig => ({
      formatVersion: 1,
      clusterDomain: 'cluster.local',
      clusterDNS: { namespace: 'kube-system', service: 'kube-dns', addresses: [] },
      listeners: [listener],
      upstreams,
      ...more,
    });
    const tallies = new Tallies((notice) => this.#tallies.push(notice));
    const builder = new Builder('node-1', this.cache, this.upstream, this.clock, tallies);
    const servers = { nodeDns: [nodeDns], clusterDns: [clusterDns], ...destinations };
    this.#build = (more) => builder.build(config(more), servers).plans.get('node') as ListenerPlan;
    this.server = new Server(this.#build(local), this.clock, this.counts, {
      query: (line) => this.queryLines.push(line) > 0,
      failure: () => {},
      exceptionOfSearchPath: ({ below }) => this.exceptionsOfSearchPath.push(below),
      privateAnswer: ({ name, address }) => this.privateAnswers.push(`${name} ${address}`),
      exception: (error) => this.exceptions.push(error),
    });
  }

  /** Another configuration comes into force: the same listener, and what is said here beside it. */
  apply(local: Partial<NodeConfig>): void {
    this.server.swap(this.#build(local));
  }

  count(what: keyof typeof ListenerCount): number {
    return this.counts[ListenerCount[what]] ?? 0;
  }

  zoneCount(zone: string, what: keyof typeof ZoneCount): number {
    const tally = this.#tallies.find(({ kind, labels }) => kind === 'zone' && labels.zone === zone);
    return tally === undefined ? 0 : (new Float64Array(tally.buffer)[ZoneCount[what]] ?? 0);
  }

  /** Serves one packet; what becomes of it shows when it does. */
  ask(packet: Buffer, overTcp = false, client = '198.51.100.7'): Asked {
    const asked: Asked = { answer: undefined, dropped: false };
    const once = (what: string) => {
      if (asked.answer !== undefined || asked.dropped) throw new Error(`${what} after the end of a query`);
    };
    this.server.serve(packet, {
      overTcp,
      ...(overTcp && { idleMs: 10_000 }),
      client,
      send: (message, length) => {
        once('a second answer');
        asked.answer = Buffer.from(message.subarray(0, length));
      },
      drop: () => {
        once('a drop');
        asked.dropped = true;
      },
    });
    // As in a listener, the packet's memory is used again at once.
    packet.fill(0xff);
    return asked;
  }

  /** The answer in octets; throws where there is none without time passing. */
  async octets(packet: Buffer, overTcp = false): Promise<Buffer> {
    const asked = this.ask(Buffer.from(packet), overTcp);
    await settle();
    if (asked.answer === undefined) throw new Error(asked.dropped ? 'no answer' : 'the answer is still awaited');
    return asked.answer;
  }

  async answer(packet: Buffer, overTcp = false): Promise<Reading> {
    return read(await this.octets(packet, overTcp));
  }
}
