/** NodeConfig → what the serving thread runs on. The only file that knows both. */
import { parseEndpoint } from '../api/v1alpha1/address.ts';
import type { ListenerConfig, NodeConfig, RedirectNames, ServerBlockConfig } from '../api/v1alpha1/node-config.ts';
import { compilePattern } from '../api/v1alpha1/pattern.ts';
import { prefixLength, type ResponseCache } from './cache/response-cache.ts';
import { SnapshotReader, writeSnapshot } from './cache/snapshot.ts';
import type { Clock } from './clock.ts';
import { Forwarder } from './forward/forwarder.ts';
import { InFlight } from './forward/in-flight.ts';
import type { Transport } from './forward/transport.ts';
import { Upstream, upstreamCounts } from './forward/upstream.ts';
import { upstreamPolicy } from './forward/upstream-policy.ts';
import type { ListenerName } from './listen/listeners.ts';
import { blocked } from './policy/blocked.ts';
import { hosts } from './policy/hosts.ts';
import { identity } from './policy/identity.ts';
import { minimalAny } from './policy/minimal-any.ts';
import type { Policy } from './policy/policy.ts';
import { probe } from './policy/probe.ts';
import { type Names, redirects } from './policy/redirects.ts';
import { singleLabels } from './policy/single-labels.ts';
import { specialNames } from './policy/special-names.ts';
import { ListenerCount, type ListenerPlan, listenerCounts, type Zone, zoneCounts } from './server/plan.ts';
import type { Tallies } from './tallies.ts';
import { ZoneTable } from './zone/zone-table.ts';

/** What the built-in destinations mean at the moment: `ip:port` each. */
export interface Destinations {
  clusterDns: readonly string[];
  nodeDns: readonly string[];
}

export type Plans = Map<ListenerName, ListenerPlan>;

/**
 * Builds plans and keeps what must survive a change of them: the cache of blocks that mean the same as before, and what is
 * known about the health of upstream servers.
 */
export class Builder {
  readonly #nodeName: string;
  readonly #cache: ResponseCache;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #tallies: Tallies;
  readonly #random: () => number;
  readonly #startKey: Uint8Array | undefined;
  readonly #upstreams = new Map<string, Upstream>();
  readonly #prefixes = new Map<string, string>();
  #nextPrefix = 0;

  /**
   * @param random what the policy Random draws from
   * @param startKey what heartbeats and loop probes of this process are known by; without it there are none
   */
  constructor(
    nodeName: string,
    cache: ResponseCache,
    transport: Transport,
    clock: Clock,
    tallies: Tallies,
    random: () => number = Math.random,
    startKey?: Uint8Array,
  ) {
    this.#nodeName = nodeName;
    this.#cache = cache;
    this.#transport = transport;
    this.#clock = clock;
    this.#tallies = tallies;
    this.#random = random;
    this.#startKey = startKey;
  }

  /** `config` has been parsed strictly. */
  build(config: NodeConfig, destinations: Destinations): { plans: Plans; commit: () => void } {
    const used = { upstreams: new Set<string>(), identities: new Set<string>() };
    const plans: Plans = new Map(
      config.listeners.map((listener) => [listener.name, this.#plan(listener, config, destinations, used)]),
    );
    return { plans, commit: () => this.#forget(used) };
  }

  /** What the blocks have cached, for a later process; see {@link writeSnapshot}. */
  snapshot(wallMs: number, isEnough: () => boolean): Generator<Buffer | undefined, void> {
    return writeSnapshot(this.#cache, this.#prefixes, { nowMs: this.#clock.nowMs(), wallMs }, isEnough);
  }

  /** Takes what a process before this one had cached for the blocks that have been built by now. */
  reader(wallMs: number): SnapshotReader {
    return new SnapshotReader(this.#cache, this.#prefixes, { nowMs: this.#clock.nowMs(), wallMs });
  }

  #plan(
    listener: ListenerConfig,
    config: NodeConfig,
    destinations: Destinations,
    used: { upstreams: Set<string>; identities: Set<string> },
  ): ListenerPlan {
    const zones = listener.serverBlocks.map((block): [string, Zone] => {
      const servers = serversOf(block.forwardDestination, config, destinations);
      const over = (transport: 'tcp' | 'udp') =>
        servers.map((server) => this.#upstream(server, transport, used.upstreams));
      return [
        block.zone,
        {
          name: block.zone,
          cache: this.#cache.partition(this.#prefix(blockIdentity(listener, block, config), used.identities)),
          bounds: {
            maxTtlSeconds: block.cacheDurationInSeconds,
            maxNegativeTtlSeconds: block.negativeCacheDurationInSeconds,
            staleSeconds: block.serveStaleDurationInSeconds,
          },
          serveStale: block.serveStale,
          forwarder: new Forwarder({
            upstreams: over(block.protocol === 'PreferUDP' ? 'udp' : 'tcp'),
            fallBack: block.protocol === 'PreferTCP' ? over('udp') : [],
            policy: () => upstreamPolicy(block.forwardPolicy, this.#random),
            maxConcurrent: block.maxConcurrent,
            clock: this.#clock,
            destination: block.forwardDestination,
          }),
          inFlight: new InFlight(),
          counts: this.#tallies.open('zone', { listener: listener.name, zone: block.zone }, zoneCounts),
          logQueries: block.queryLogging === 'Log',
        },
      ];
    });
    const policies = [
      ...this.#probes(listener.name),
      identity(`${this.#nodeName}/${listener.name}`),
      ...localPolicies(config, listener),
    ];
    return { zones: new ZoneTable(zones), policies };
  }

  #probes(name: ListenerName): Policy[] {
    if (this.#startKey === undefined) return [];
    const counts = this.#tallies.open('listener', { listener: name }, listenerCounts);
    const bump = (what: number) => () => {
      counts[what] = (counts[what] ?? 0) + 1;
    };
    return [
      probe(this.#startKey, {
        heartbeat: bump(ListenerCount.heartbeats),
        tcpHeartbeat: bump(ListenerCount.tcpHeartbeats),
        loop: bump(ListenerCount.loops),
      }),
    ];
  }

  #upstream(server: string, transport: 'tcp' | 'udp', used: Set<string>): Upstream {
    const key = `${server} ${transport}`;
    used.add(key);
    let upstream = this.#upstreams.get(key);
    if (upstream === undefined) {
      const address = parseEndpoint(server);
      if (address === undefined) throw new Error(`${server} is no server address`);
      const counts = this.#tallies.open('upstream', { upstream: server, transport }, upstreamCounts);
      upstream = new Upstream(address, transport === 'tcp', this.#transport, this.#clock, counts);
      this.#upstreams.set(key, upstream);
    }
    return upstream;
  }

  #prefix(blockId: string, used: Set<string>): string {
    used.add(blockId);
    let prefix = this.#prefixes.get(blockId);
    if (prefix === undefined) {
      prefix = this.#freePrefix();
      this.#prefixes.set(blockId, prefix);
    }
    return prefix;
  }

  /** Comes round after 65,536 blocks; those that live keep theirs. */
  #freePrefix(): string {
    const taken = new Set(this.#prefixes.values());
    for (;;) {
      const prefix = String.fromCharCode(this.#nextPrefix >> 8, this.#nextPrefix & 0xff);
      this.#nextPrefix = (this.#nextPrefix + 1) % 256 ** prefixLength;
      if (!taken.has(prefix)) return prefix;
    }
  }

  #forget(used: { upstreams: Set<string>; identities: Set<string> }): void {
    for (const [key, upstream] of this.#upstreams) {
      if (used.upstreams.has(key)) continue;
      upstream.close();
      this.#upstreams.delete(key);
    }
    let gone = false;
    for (const blockId of this.#prefixes.keys()) {
      if (used.identities.has(blockId)) continue;
      this.#prefixes.delete(blockId);
      gone = true;
    }
    if (gone) this.#cache.retain(new Set(this.#prefixes.values()));
  }
}

/** What is answered on the node itself, in the order in which it is looked for. Every packet passes it: what is empty is left out. */
function localPolicies(config: NodeConfig, { serverBlocks }: ListenerConfig): Policy[] {
  const zones = serverBlocks.map(({ zone }) => zone);
  return [
    minimalAny,
    ...(config.hosts === undefined ? [] : [hosts(config.hosts)]),
    ...(config.blockedDomains === undefined ? [] : [blocked(config.blockedDomains)]),
    ...(config.redirects === undefined
      ? []
      : [
          redirects(
            config.redirects.map(({ match, except, ...rest }) => ({
              match: names(match),
              except: names(except),
              ...rest,
            })),
          ),
        ]),
    specialNames(zones),
    ...(config.singleLabelNames === undefined ? [] : [singleLabels(zones)]),
  ];
}

function names({ exact, suffixes, patterns }: RedirectNames): Names {
  return {
    exact,
    suffixes,
    patterns: patterns.map((text) => {
      const pattern = compilePattern(text);
      if ('error' in pattern) throw new Error(`${text}: ${pattern.error}`);
      return (name) => pattern.matches(name);
    }),
  };
}

function serversOf(destination: string, config: NodeConfig, destinations: Destinations): readonly string[] {
  switch (destination) {
    case 'ClusterCoreDNS':
      return destinations.clusterDns;
    case 'VnetDNS':
      return destinations.nodeDns;
    default:
      return config.upstreams.find(({ name }) => name === destination)?.servers ?? [];
  }
}

/** What a block must share with its predecessor to keep its cache: where answers come from, and how long they hold. */
function blockIdentity(listener: ListenerConfig, block: ServerBlockConfig, config: NodeConfig): string {
  return JSON.stringify([
    listener.name,
    block.zone,
    block.forwardDestination,
    config.upstreams.find(({ name }) => name === block.forwardDestination)?.servers,
    block.cacheDurationInSeconds,
    block.negativeCacheDurationInSeconds,
    block.serveStaleDurationInSeconds,
  ]);
}
