/** The one door to prom-client: shared tallies become metrics when somebody looks. */
import { Counter, collectDefaultMetrics, Gauge, type Metric, Registry } from 'prom-client';
import { CacheCount } from './cache-tally.ts';
import type { DatapathFacts } from './datapath/datapath.ts';
import type { Counters } from './datapath/node-rules.ts';
import { answerSeconds, type Figures, figuresOf, type HistogramSample } from './figures.ts';
import { UpstreamCount } from './forward/upstream.ts';
import { connectionsCut, each, type Sample, type Tally, upstreamQueries } from './metric-samples.ts';
import { askedPlaces, firstRcodeCount, ListenerCount, localReasons, placeOf, ZoneCount } from './server/plan.ts';
import type { TallyNotice } from './tallies.ts';
import { ConnectionCount } from './upstream-connections.ts';

const rcodeNames = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];

/** The longest time of a timer. */
const neverMs = 2 ** 31 - 1;
const delayFigures = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'];

export class Metrics {
  readonly #registry = new Registry();
  readonly #tallies: Record<TallyNotice['kind'], Tally[]> = {
    listener: [],
    zone: [],
    upstream: [],
    connection: [],
    cache: [],
  };
  readonly configurations: Counter;
  readonly serving: Gauge;

  /** @param lostLines of the log */
  constructor(version: string, lostLines: () => number = () => 0) {
    const prefix = 'localdns_';
    // How late the loop of the worker is: to know, it would wake a hundred times a second, and nobody waits for it.
    collectDefaultMetrics({ register: this.#registry, prefix, eventLoopMonitoringPrecision: neverMs });
    for (const figure of delayFigures)
      this.#registry.removeSingleMetric(`${prefix}nodejs_eventloop_lag_${figure}_seconds`);
    this.#fromListeners();
    this.#fromZones();
    this.#fromUpstreams();
    this.#fromCache();
    this.#counter(
      'localdns_lost_log_lines_total',
      'Lines of the log that were lost, because nobody reads the output of the process.',
      [],
      () => [[{}, lostLines()]],
    );
    const registers = [this.#registry];
    this.configurations = new Counter({
      name: 'localdns_configurations_total',
      help: 'Configurations that came to this agent, by what became of them.',
      labelNames: ['outcome'],
      registers,
    });
    this.serving = new Gauge({ name: 'localdns_serving', help: '1 while every listener answers.', registers });
    new Gauge({
      name: 'localdns_build_info',
      help: 'The version of this agent.',
      labelNames: ['version'],
      registers,
    }).set({ version }, 1);
  }

  add({ kind, labels, buffer }: TallyNotice): void {
    this.#tallies[kind].push({ labels: { ...labels }, counts: new Float64Array(buffer) });
  }

  /** UDP queries of others that sockets have received. */
  get received(): number {
    return this.#sum(ListenerCount.udpQueries) - this.#sum(ListenerCount.heartbeats);
  }

  get loops(): number {
    return this.#sum(ListenerCount.loops);
  }

  /** Of all listeners, since the start of the process. */
  get figures(): Figures {
    return figuresOf(this.#tallies.listener.map(({ counts }) => counts));
  }

  #sum(at: number): number {
    return this.#tallies.listener.reduce((sum, { counts }) => sum + (counts[at] ?? 0), 0);
  }

  expose(): Promise<string> {
    return this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  #fromListeners(): void {
    const tallies = this.#tallies.listener;
    this.#counter('localdns_queries_total', 'Packets received, by transport.', ['listener', 'transport'], () =>
      tallies.flatMap(({ labels, counts }) => [
        [{ ...labels, transport: 'udp' }, counts[ListenerCount.udpQueries]],
        [{ ...labels, transport: 'tcp' }, counts[ListenerCount.tcpQueries]],
      ]),
    );
    this.#counter('localdns_answers_total', 'Answers sent, by response code.', ['listener', 'rcode'], () =>
      tallies.flatMap(({ labels, counts }) =>
        rcodeNames.map((rcode, code): Sample => [{ ...labels, rcode }, counts[firstRcodeCount + code]]),
      ),
    );
    this.#histogram(
      'localdns_answer_seconds',
      'Time from a query to its answer; one that asked no server took none.',
      (name) => tallies.flatMap(({ labels, counts }) => answerSeconds(name, labels, counts)),
    );
    this.#counter(
      'localdns_rejected_total',
      'Packets that were not served: malformed ones are answered with an error, dropped ones are no queries, forged ones come from port 0, exceptions are bugs.',
      ['listener', 'reason'],
      () =>
        tallies.flatMap(({ labels, counts }) =>
          (['malformed', 'dropped', 'forged', 'exceptions'] as const).map(
            (reason): Sample => [{ ...labels, reason }, counts[ListenerCount[reason]]],
          ),
        ),
    );
    this.#counter(
      'localdns_unsent_answers_total',
      'Answers that the kernel did not take, or whose connection was gone.',
      ['listener'],
      each(tallies, ListenerCount.unsent),
    );
    this.#counter(
      'localdns_connections_cut_total',
      'TCP connections that were not taken, or closed before their time.',
      ['listener', 'reason'],
      () =>
        tallies.flatMap(({ labels, counts }) =>
          connectionsCut.map(([reason, at]): Sample => [{ ...labels, reason }, counts[at]]),
        ),
    );
    this.#counter(
      'localdns_overrun_queries_total',
      'Datagrams that the kernel dropped because the buffer of the socket was full.',
      ['listener'],
      each(tallies, ListenerCount.overrun),
    );
    this.#counter(
      'localdns_unlogged_queries_total',
      'Queries whose line for the log was lost, because more came than are written.',
      ['listener'],
      each(tallies, ListenerCount.unlogged),
    );
    this.#counter(
      'localdns_truncated_total',
      'Answers sent with TC=1.',
      ['listener'],
      each(tallies, ListenerCount.truncated),
    );
    this.#counter('localdns_local_answers_total', 'Answers made on the node itself.', ['listener', 'reason'], () =>
      tallies.flatMap(({ labels, counts }) =>
        localReasons.map((reason): Sample => [{ ...labels, reason }, counts[placeOf(reason)]]),
      ),
    );
    this.#counter('localdns_heartbeats_total', "The agent's own heartbeats.", ['listener', 'transport'], () =>
      tallies.flatMap(({ labels, counts }) => [
        [{ ...labels, transport: 'udp' }, counts[ListenerCount.heartbeats]],
        [{ ...labels, transport: 'tcp' }, counts[ListenerCount.tcpHeartbeats]],
      ]),
    );
    this.#counter(
      'localdns_loops_total',
      'Probes sent to upstream servers that came back: these servers ask this agent.',
      ['listener'],
      each(tallies, ListenerCount.loops),
    );
  }

  #fromZones(): void {
    const tallies = this.#tallies.zone;
    const origins = ['cache', 'stale', 'forwarded', 'failed', 'refused'] as const;
    this.#counter(
      'localdns_zone_answers_total',
      'Answers of a server block by origin; failed: no upstream answered, refused: over maxConcurrent, or out of sockets (each counted once for all who waited).',
      ['listener', 'zone', 'origin'],
      () =>
        tallies.flatMap(({ labels, counts }) =>
          origins.map((origin): Sample => [{ ...labels, origin }, counts[ZoneCount[origin]]]),
        ),
    );
    this.#counter(
      'localdns_over_share_total',
      'Of the refused queries, those whose client had more than its share of maxConcurrent.',
      ['listener', 'zone'],
      each(tallies, ZoneCount.overShare),
    );
    this.#counter(
      'localdns_out_of_sockets_total',
      'Of the refused queries, those for which there may be no further socket over UDP.',
      ['listener', 'zone'],
      each(tallies, ZoneCount.outOfSockets),
    );
    this.#counter(
      'localdns_coalesced_total',
      'Queries that shared the upstream query of an equal one.',
      ['listener', 'zone'],
      each(tallies, ZoneCount.coalesced),
    );
    this.#counter(
      'localdns_search_path_saved_total',
      'Names that a search path made and that were not asked about, or with Report would not have been.',
      ['listener', 'zone'],
      each(tallies, ZoneCount.searchPathSaved),
    );
    this.#counter(
      'localdns_search_path_wrong_total',
      'Names that exist though the Kubernetes DNS specification rules them out.',
      ['listener', 'zone'],
      each(tallies, ZoneCount.searchPathWrong),
    );
    this.#counter(
      'localdns_search_path_asked_total',
      'Names that a search path made and that were asked about all the same, by why.',
      ['listener', 'zone', 'reason'],
      () =>
        // Most zones have no such names, and would say so five times.
        tallies
          .filter(({ counts }) => Object.values(askedPlaces).some((place) => (counts[place] ?? 0) > 0))
          .flatMap(({ labels, counts }) =>
            Object.entries(askedPlaces).map(([reason, place]): Sample => [{ ...labels, reason }, counts[place]]),
          ),
    );
    this.#counter(
      'localdns_search_path_forgotten_total',
      'Kinds of names that a search path makes that were forgotten for want of room: the next name of each is asked about.',
      ['listener', 'zone'],
      each(tallies, ZoneCount.searchPathForgotten),
    );
    this.#counter(
      'localdns_rebind_answers_total',
      'Answers that lead from public names to private addresses: blocked, or only reported (protection.rebind).',
      ['listener', 'zone', 'outcome'],
      () =>
        tallies.flatMap(({ labels, counts }) => [
          [{ ...labels, outcome: 'blocked' }, counts[ZoneCount.rebindBlocked]],
          [{ ...labels, outcome: 'reported' }, counts[ZoneCount.rebindReported]],
        ]),
    );
    this.#gauge(
      'localdns_upstream_in_flight',
      'Upstream queries under way.',
      ['listener', 'zone'],
      each(tallies, ZoneCount.inFlight),
    );
  }

  #fromUpstreams(): void {
    const tallies = this.#tallies.upstream;
    const labelNames = ['upstream', 'transport'];
    this.#counter('localdns_upstream_queries_total', 'Queries sent, by the transport they took.', labelNames, () =>
      upstreamQueries(tallies),
    );
    this.#counter(
      'localdns_upstream_failures_total',
      'Queries without a usable answer.',
      labelNames,
      each(tallies, UpstreamCount.failures),
    );
    this.#counter(
      'localdns_upstream_over_budget_total',
      'Queries that were not sent: queryBudget.',
      labelNames,
      each(tallies, UpstreamCount.overBudget),
    );
    this.#counter(
      'localdns_upstream_replies_discarded_total',
      'Replies that were no answer, or none that a client can be told.',
      [...labelNames, 'reason'],
      () =>
        tallies.flatMap(({ labels, counts }) => [
          [{ ...labels, reason: 'mismatched' }, counts[UpstreamCount.mismatched]],
          [{ ...labels, reason: 'unusable' }, counts[UpstreamCount.unusable]],
        ]),
    );
    this.#counter(
      'localdns_upstream_answers_total',
      'Answers received.',
      labelNames,
      each(tallies, UpstreamCount.answers),
    );
    this.#counter('localdns_upstream_answer_seconds_total', 'Time that the answers took, added up.', labelNames, () =>
      tallies.map(({ labels, counts }) => [labels, (counts[UpstreamCount.milliseconds] ?? 0) / 1000]),
    );
    this.#gauge(
      'localdns_upstream_connections',
      'Connections that are open now.',
      labelNames,
      each(this.#tallies.connection, ConnectionCount.open),
    );
    this.#gauge('localdns_upstream_up', '0 while the server counts as down and is probed.', labelNames, () =>
      tallies.map(({ labels, counts }) => [labels, 1 - (counts[UpstreamCount.down] ?? 0)]),
    );
  }

  /** Nothing of it is shown before there is a datapath. */
  showDatapath(read: () => DatapathFacts | undefined): void {
    const perFamily = (samples: (family: string, counters: Counters) => Sample[]) => () =>
      [...(read()?.counters ?? [])].flatMap(([family, counters]) => samples(`IPv${family}`, counters));
    this.#counter(
      'localdns_intercepted_packets_total',
      "Packets led to the agent: of pods, of the node's own processes.",
      ['family', 'from', 'transport'],
      perFamily((family, counters) => [
        [{ family, from: 'pods', transport: 'udp' }, counters.intercepted_udp + counters.tried_udp],
        [{ family, from: 'pods', transport: 'tcp' }, counters.intercepted_tcp + counters.tried_tcp],
        [{ family, from: 'node', transport: 'udp' }, counters.local_udp],
        [{ family, from: 'node', transport: 'tcp' }, counters.local_tcp],
      ]),
    );
    this.#counter(
      'localdns_arrived_packets_total',
      'Packets of pods that were led to the agent and passed the INPUT rules of the node.',
      ['family', 'transport'],
      perFamily((family, counters) => [
        [{ family, transport: 'udp' }, counters.arrived_udp],
        [{ family, transport: 'tcp' }, counters.arrived_tcp],
      ]),
    );
    this.#counter(
      'localdns_fallback_packets_total',
      "First packets to the agent's own addresses that went to cluster DNS or the node's resolvers, because no agent answered.",
      ['family'],
      () => [...(read()?.fallback ?? [])].map(([family, packets]): Sample => [{ family: `IPv${family}` }, packets]),
    );
    this.#gauge('localdns_intercepting', '1 while every address of the configuration is intercepted.', [], () => [
      [{}, read()?.intercepting ? 1 : 0],
    ]);
    this.#counter('localdns_rules_restored_total', 'Times that packet rules or routes had to be put right.', [], () => [
      [{}, read()?.restorations],
    ]);
    this.#counter('localdns_heartbeats_missed_total', 'Heartbeats that a listener did not answer in time.', [], () => [
      [{}, read()?.missedBeats],
    ]);
  }

  #fromCache(): void {
    const read = (at: number) => () => this.#tallies.cache.map(({ counts }): Sample => [{}, counts[at]]);
    this.#gauge('localdns_cache_entries', 'Cached answers.', [], read(CacheCount.entries));
    this.#gauge('localdns_cache_bytes', 'Memory that the cached answers are charged with.', [], read(CacheCount.bytes));
    this.#counter(
      'localdns_cache_evictions_total',
      'Answers pushed out by the byte budget.',
      [],
      read(CacheCount.evictions),
    );
    this.#counter(
      'localdns_cache_restored_total',
      'Answers taken over at the start: from the agent that served this node before, or from disk.',
      ['source'],
      () =>
        this.#tallies.cache.flatMap(({ counts }): Sample[] => [
          [{ source: 'peer' }, counts[CacheCount.restoredFromPeer]],
          [{ source: 'disk' }, counts[CacheCount.restoredFromDisk]],
        ]),
    );
  }

  #counter(name: string, help: string, labelNames: string[], read: () => Sample[]): void {
    this.#collect(Counter, name, help, labelNames, read);
  }

  #gauge(name: string, help: string, labelNames: string[], read: () => Sample[]): void {
    this.#collect(Gauge, name, help, labelNames, read);
  }

  /** The library's own histogram counts by itself, and can be told no counts. */
  #histogram(name: string, help: string, read: (name: string) => HistogramSample[]): void {
    const get = async () => ({ name, help, type: 'histogram', values: read(name) });
    this.#registry.registerMetric({ name, help, type: 'histogram', get } as unknown as Metric);
  }

  /** A metric that has no memory of its own: it is what the tallies say at the moment. */
  #collect(
    Kind: typeof Counter | typeof Gauge,
    name: string,
    help: string,
    labelNames: string[],
    read: () => Sample[],
  ) {
    new Kind({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [labels, value] of read()) this.inc(labels, value ?? 0);
      },
    });
  }
}
