/** NodeConfig → what the serving thread runs on. The only file that knows both. */
import { parseEndpoint } from '../api/v1alpha1/address.ts';
import type { ListenerConfig, NodeConfig, ServerBlockConfig } from '../api/v1alpha1/node-config.ts';
import { patternSet } from '../api/v1alpha1/pattern.ts';
import { isWithin } from '../api/v1alpha1/zone.ts';
import { blockIdentity, type Destinations, namedUpstream, rebindOf, sourceOf } from './block-source.ts';
import { NxdomainCuts } from './cache/nxdomain-cuts.ts';
import { type CachePartition, prefixLength, type ResponseCache } from './cache/response-cache.ts';
import { SnapshotReader, writeSnapshot } from './cache/snapshot.ts';
import type { Clock } from './clock.ts';
import { Budget, type BudgetBounds } from './forward/budget.ts';
import { ClientShares } from './forward/client-shares.ts';
import { Forwarder } from './forward/forwarder.ts';
import { byRendezvous } from './forward/rendezvous.ts';
import type { Transport } from './forward/transport.ts';
import { Upstream, upstreamCounts } from './forward/upstream.ts';
import { amongFirst, upstreamPolicy } from './forward/upstream-policy.ts';
import type { ListenerName } from './listen/listeners.ts';
import { blocked } from './policy/blocked.ts';
import { hosts } from './policy/hosts.ts';
import { identity, identityOf } from './policy/identity.ts';
import { minimalAny } from './policy/minimal-any.ts';
import type { Policy } from './policy/policy.ts';
import { privateReverse } from './policy/private-reverse.ts';
import { probe } from './policy/probe.ts';
import { RebindProtection } from './policy/rebind.ts';
import { redirects } from './policy/redirects.ts';
import { SearchPathRelief, type WhyAsked } from './policy/search-path-relief.ts';
import { SearchPathRulings } from './policy/search-path-rulings.ts';
import { singleLabels } from './policy/single-labels.ts';
import { specialNames } from './policy/special-names.ts';
import { InFlight } from './server/in-flight.ts';
import {
  askedPlaces,
  bump,
  ListenerCount,
  type ListenerPlan,
  type LocalPolicy,
  type LocalReason,
  listenerCounts,
  localPolicy,
  localReasons,
  type Zone,
  ZoneCount,
  zoneCounts,
} from './server/plan.ts';
import type { Tallies } from './tallies.ts';
import { udpSockets } from './udp-sockets.ts';
import { nameFromText } from './wire/name.ts';
import { ZoneTable } from './zone/zone-table.ts';

/** Endpoints of cluster DNS that a node asks: each of them then has connections of some nodes, and not of all. */
const clusterDnsAtRest = 3;
/** Of those that can be reached, for one query: what one cannot answer, few others can. */
const clusterDnsReach = 5;

/** What a configuration refers to of what outlives configurations. */
type Used = Record<'upstreams' | 'budgets' | 'rulings' | 'identities', Set<string>> & {
  /** With how many queries there may be in flight. */
  shares: Map<string, number>;
};

export type Plans = Map<ListenerName, ListenerPlan>;

/**
 * Builds plans and keeps what must survive a change of them: the cache of blocks that mean the same as before, what is known of
 * their search paths, and of the health of upstream servers, and what is in flight to them.
 */
export class Builder {
  readonly #nodeName: string;
  readonly #cache: ResponseCache;
  /** The budget of a configuration that names none. */
  readonly #usualBytes: number;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #tallies: Tallies;
  readonly #random: () => number;
  readonly #startKey: Uint8Array | undefined;
  readonly #sockets: ClientShares;
  readonly #upstreams = new Map<string, Upstream>();
  readonly #budgets = new Map<string, Budget>();
  readonly #shares = new Map<string, ClientShares>();
  readonly #prefixes = new Map<string, string>();
  readonly #rulings = new Map<string, SearchPathRulings>();
  /** By prefix. */
  readonly #reliefs = new Map<string, SearchPathRelief | undefined>();
  #nextPrefix = 0;

  /**
   * @param random what the policy Random draws from
   * @param startKey what heartbeats and loop probes of this process are known by; without it there are none
   * @param sockets that queries may open over UDP
   */
  constructor(
    nodeName: string,
    cache: ResponseCache,
    transport: Transport,
    clock: Clock,
    tallies: Tallies,
    random: () => number = Math.random,
    startKey?: Uint8Array,
    sockets = udpSockets(),
  ) {
    this.#nodeName = nodeName;
    this.#cache = cache;
    this.#usualBytes = cache.maxBytes;
    this.#transport = transport;
    this.#clock = clock;
    this.#tallies = tallies;
    this.#random = random;
    this.#startKey = startKey;
    this.#sockets = sockets;
  }

  /** `config` has been parsed strictly. */
  build(config: NodeConfig, destinations: Destinations): { plans: Plans; commit: () => void } {
    const used: Used = {
      upstreams: new Set(),
      budgets: new Set(),
      rulings: new Set(),
      identities: new Set(),
      shares: new Map(),
    };
    const plans: Plans = new Map(
      config.listeners.map((listener) => [listener.name, this.#plan(listener, config, destinations, used)]),
    );
    const commit = () => {
      this.#forget(used);
      this.#cache.resize(config.cache?.maxBytes ?? this.#usualBytes);
    };
    return { plans, commit };
  }

  /** What the blocks have cached, for a later process; see {@link writeSnapshot}. */
  snapshot(wallMs: number, isEnough: () => boolean): Generator<Buffer | undefined, void> {
    return writeSnapshot(this.#cache, this.#prefixes, { nowMs: this.#clock.nowMs(), wallMs }, isEnough);
  }

  /** Takes what a process before this one had cached for the blocks that have been built by now. */
  reader(wallMs: number): SnapshotReader {
    return new SnapshotReader(this.#cache, this.#prefixes, { nowMs: this.#clock.nowMs(), wallMs }, (prefix, asked) =>
      this.#reliefs.get(prefix)?.recall(asked),
    );
  }

  #plan(listener: ListenerConfig, config: NodeConfig, destinations: Destinations, used: Used): ListenerPlan {
    const zones = listener.serverBlocks.map((block): [string, Zone] => {
      const asked = destinationOf(block.forwardDestination, config, destinations, this.#nodeName);
      const counts = this.#tallies.open('zone', { listener: listener.name, zone: block.zone }, zoneCounts);
      const blockId = blockIdentity(listener, block, config);
      const prefix = this.#prefix(blockId, used.identities);
      const source = sourceOf(listener, block, config);
      const cache = this.#cache.partition(prefix);
      const searchPath = this.#relief(source, cache, config, block, counts, used.rulings);
      this.#reliefs.set(prefix, searchPath);
      const over = (transport: 'tcp' | 'udp') =>
        asked.servers.map((server) => this.#upstream(server, asked, transport, used));
      return [
        block.zone,
        {
          name: block.zone,
          cache,
          cuts: new NxdomainCuts(nameFromText(block.zone)),
          bounds: {
            maxTtlSeconds: block.cacheDurationInSeconds,
            maxNegativeTtlSeconds: block.negativeCacheDurationInSeconds,
            staleSeconds: block.serveStaleDurationInSeconds,
          },
          serveStale: block.serveStale,
          prefetch: config.cache?.prefetch ?? true,
          searchPath,
          rebind: rebindProtection(rebindOf(config, listener, block), counts),
          forwarder: new Forwarder({
            upstreams: over(block.protocol === 'PreferUDP' ? 'udp' : 'tcp'),
            // With TLS that is the same way once more, and nobody is asked the same twice.
            fallBack: block.protocol === 'PreferTCP' ? over('udp') : [],
            policy: () =>
              amongFirst(asked.atRest ?? asked.servers.length, upstreamPolicy(block.forwardPolicy, this.#random)),
            reach: asked.reach ?? asked.servers.length,
            shares: this.#inFlight(source, block.maxConcurrent, counts, used),
            onOverShare: () => bump(counts, ZoneCount.overShare),
            sockets: this.#sockets,
            onOutOfSockets: () => bump(counts, ZoneCount.outOfSockets),
            clock: this.#clock,
            destination: block.forwardDestination,
          }),
          inFlight: new InFlight(),
          counts,
          logQueries: block.queryLogging === 'Log',
        },
      ];
    });
    const self = identityOf(this.#nodeName, listener.name);
    const known = localPolicy('identity', identity(self));
    const policies = [...this.#probes(listener.name), known, ...localPolicies(config, listener)];
    return { zones: new ZoneTable(zones), policies, identity: self };
  }

  #probes(name: ListenerName): LocalPolicy[] {
    if (this.#startKey === undefined) return [];
    const counts = this.#tallies.open('listener', { listener: name }, listenerCounts);
    return [
      localPolicy(
        'probe',
        probe(this.#startKey, {
          heartbeat: () => bump(counts, ListenerCount.heartbeats),
          tcpHeartbeat: () => bump(counts, ListenerCount.tcpHeartbeats),
          loop: () => bump(counts, ListenerCount.loops),
        }),
      ),
    ];
  }

  /** Whatever the block prefers, over TLS alone where the destination says so. */
  #upstream(server: string, { name, tls, queryBudget }: Destination, preferred: 'tcp' | 'udp', used: Used) {
    const transport = tls === undefined ? preferred : 'tls';
    const budget = queryBudget && this.#budget(name, queryBudget, used.budgets);
    const key = JSON.stringify([server, transport, tls, budget && name, queryBudget]);
    used.upstreams.add(key);
    let upstream = this.#upstreams.get(key);
    if (upstream === undefined) {
      const address = parseEndpoint(server);
      if (address === undefined) throw new Error(`${server} is no server address`);
      const counts = this.#tallies.open('upstream', { upstream: server, transport }, upstreamCounts);
      const at = tls === undefined ? address : { ...address, tls };
      const overTcp = transport !== 'udp';
      upstream = new Upstream(at, overTcp, this.#transport, this.#clock, counts, budget);
      this.#upstreams.set(key, upstream);
    }
    return upstream;
  }

  /** One for all servers of the same upstream, for as long as it stays the same. */
  #budget(owner: string, bounds: BudgetBounds, used: Set<string>): Budget {
    const key = JSON.stringify([owner, bounds]);
    used.add(key);
    const budget = this.#budgets.get(key) ?? new Budget(owner, bounds, this.#clock);
    this.#budgets.set(key, budget);
    return budget;
  }

  /** What a block has in flight counts on under another configuration, of which a bound comes into force with it. */
  #inFlight(source: unknown[], bound: number, counts: Float64Array, used: Used): ClientShares {
    const key = JSON.stringify(source);
    used.shares.set(key, bound);
    const shares = this.#shares.get(key) ?? new ClientShares(bound, (more) => bump(counts, ZoneCount.inFlight, more));
    this.#shares.set(key, shares);
    return shares;
  }

  /** For blocks of the cluster domain and below it, whose names the specification is about. */
  #relief(
    source: unknown[],
    { hasName }: CachePartition,
    { searchPath, clusterDomain }: NodeConfig,
    { zone }: ServerBlockConfig,
    counts: Float64Array,
    used: Set<string>,
  ): SearchPathRelief | undefined {
    if (searchPath === undefined || !isWithin(zone, clusterDomain)) return undefined;
    // How long answers hold says nothing of what exists.
    const key = JSON.stringify([...source, clusterDomain]);
    used.add(key);
    const rulings = this.#rulings.get(key) ?? new SearchPathRulings(() => bump(counts, ZoneCount.searchPathForgotten));
    this.#rulings.set(key, rulings);
    const events = {
      saved: () => bump(counts, ZoneCount.searchPathSaved),
      asked: (why: WhyAsked) => bump(counts, askedPlaces[why]),
      wrong: () => bump(counts, ZoneCount.searchPathWrong),
    };
    const nowMs = () => this.#clock.nowMs();
    return new SearchPathRelief(nameFromText(clusterDomain), searchPath, rulings, nowMs, events, hasName);
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

  #forget(used: Used): void {
    for (const [key, upstream] of this.#upstreams) {
      if (used.upstreams.has(key)) continue;
      upstream.close();
      this.#upstreams.delete(key);
    }
    for (const key of this.#budgets.keys()) if (!used.budgets.has(key)) this.#budgets.delete(key);
    for (const key of this.#rulings.keys()) if (!used.rulings.has(key)) this.#rulings.delete(key);
    for (const [key, shares] of this.#shares) {
      const bound = used.shares.get(key);
      if (bound === undefined) this.#shares.delete(key);
      else shares.bound = bound;
    }
    let gone = false;
    for (const [blockId, prefix] of this.#prefixes) {
      if (used.identities.has(blockId)) continue;
      this.#prefixes.delete(blockId);
      this.#reliefs.delete(prefix);
      gone = true;
    }
    if (gone) this.#cache.retain(new Set(this.#prefixes.values()));
  }
}

/** What is answered on the node itself, in the order of {@link localReasons}. Every packet passes it: what is empty is left out. */
function localPolicies(config: NodeConfig, { serverBlocks }: ListenerConfig): LocalPolicy[] {
  const zones = serverBlocks.map(({ zone }) => zone);
  const policies: Partial<Record<LocalReason, Policy | undefined>> = {
    any: minimalAny,
    hosts: config.hosts && hosts(config.hosts),
    blockedDomains: config.blockedDomains && blocked(config.blockedDomains),
    redirects: config.redirects && redirects(config.redirects, patternSet),
    privateReverse: config.privateReverse && privateReverse(config.privateReverse.exceptRanges, zones),
    specialNames: specialNames(zones),
    singleLabelNames: config.singleLabelNames && singleLabels(zones),
  };
  return localReasons.flatMap((reason) => {
    const policy = policies[reason];
    return policy === undefined ? [] : [localPolicy(reason, policy)];
  });
}

function rebindProtection(rebind: NodeConfig['rebind'], counts: Float64Array): RebindProtection | undefined {
  if (rebind === undefined) return undefined;
  return new RebindProtection(rebind, {
    blocked: () => bump(counts, ZoneCount.rebindBlocked),
    reported: () => bump(counts, ZoneCount.rebindReported),
  });
}

type Destination = Omit<NodeConfig['upstreams'][number], 'servers'> & {
  servers: readonly string[];
  /** So many of them are asked while they are up; all, where it is absent. */
  atRest?: number;
  /** And so many for one query; all, where it is absent. */
  reach?: number;
};

function destinationOf(
  name: string,
  config: NodeConfig,
  { clusterDns, nodeDns }: Destinations,
  nodeName: string,
): Destination {
  switch (name) {
    case 'ClusterCoreDNS':
      return {
        name,
        servers: byRendezvous(nodeName, clusterDns),
        atRest: clusterDnsAtRest,
        reach: clusterDnsReach,
      };
    case 'VnetDNS':
      return { name, servers: nodeDns };
    default:
      return namedUpstream(name, config) ?? { name, servers: [] };
  }
}
