/**
 * The control worker: takes configurations from a source, hands them to the serving thread whole, and tells everybody what
 * became of them. All that may be slow happens here.
 */
import { isDeepStrictEqual } from 'node:util';
import type { MessagePort } from 'node:worker_threads';
import { type Endpoint, parseEndpoint } from '../api/v1alpha1/address.ts';
import type { Desired, Outcome, ToControl, ToServing } from './channel.ts';
import { systemClock } from './clock.ts';
import type { ConfigSink, ConfigSource, Offer } from './config/config-source.ts';
import { ResolvConf, resolvConfPath } from './config/resolv-conf.ts';
import type { Interception } from './datapath/datapath.ts';
import { type Arrangement, Interceptor } from './datapath/interceptor.ts';
import { nodeNames } from './datapath/node-names.ts';
import type { Figures } from './figures.ts';
import { serveHealth } from './health.ts';
import type { ListenAddresses } from './listen/listeners.ts';
import { reaches } from './listen/reaches.ts';
import { type Log, openLog } from './log.ts';
import { Metrics } from './metrics.ts';
import type { AgentOptions } from './options.ts';
import { QueryLogPump } from './query-log.ts';
import { ReadyFile } from './readiness.ts';
import { giveBackSpareMemory } from './spare-memory.ts';
import type { Probed } from './trial/trial.ts';

/** A socket that could not be opened, or a listener that stayed silent, is tried again. */
const retryMs = 2_000;
const pongTimeoutMs = 1_000;
const metricsRetryMs = 5_000;
/** How long the last lines wait for whoever reads them: the serving thread does not wait much longer for the worker. */
const lastLinesMs = 1_000;
/** Longer than the serving thread takes where nobody answers. */
const probesTimeoutMs = 30_000;

/** What the serving thread gives its worker. */
export interface ControlData {
  options: AgentOptions;
  version: string;
  /** What the process proves by that it is itself. */
  startKey: Uint8Array;
  queryLog: SharedArrayBuffer;
}

export type OpenSource = (sink: ConfigSink) => ConfigSource;

export class Control implements ConfigSink {
  readonly log: Log;
  readonly #endLog: (withinMs: number) => Promise<void>;
  readonly #queries: QueryLogPump;
  readonly #port: MessagePort;
  readonly #options: AgentOptions;
  readonly #metrics: Metrics;
  readonly #ready: ReadyFile;
  readonly #source: ConfigSource;
  #resolvConf: ResolvConf | undefined;
  #offered: Offer | undefined;
  #everOffered = false;
  #nodeDns: readonly string[];
  /** Of these the ones that are the agent. */
  #leftOut: readonly string[] = [];
  #desired: Desired | undefined;
  #arrangement: Arrangement | undefined;
  readonly #interceptor: Interceptor;
  #interception: Interception | undefined;
  /** Offers and outcomes are dealt with one after the other. */
  #order: Promise<void> = Promise.resolve();
  #number = 0;
  /** What was sent last and has been answered. */
  #answered = 0;
  /** What was offered, and is not sent yet. */
  #pending = 0;
  #outcome: Outcome | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closeHealth = () => {};
  readonly #pongs = new Map<number, () => void>();
  readonly #probing = new Map<number, (probes: Probed[]) => void>();
  #pings = 0;

  constructor(port: MessagePort, { options, version, startKey, queryLog }: ControlData, openSource: OpenSource) {
    const { log, end, lost, queries } = openLog(options.logLevel, systemClock);
    this.log = log;
    this.#endLog = end;
    this.#queries = new QueryLogPump(queryLog, systemClock, queries);
    this.#port = port;
    this.#options = options;
    this.#nodeDns = options.nodeDns ?? [];
    this.#metrics = new Metrics(version, lost);
    this.#ready = new ReadyFile(options.readyFile);
    this.#source = openSource(this);
    const key = Buffer.from(startKey);
    const around = { given: options.names, startKey: key, clock: systemClock, log };
    const names = nodeNames(options.keepsState ? options.stateDir : undefined, around);
    this.#interceptor = new Interceptor({
      ...{ names, isOff: !options.datapath, startKey: key, clock: systemClock, log },
      isServing: async (timeoutMs) => (await this.#alive(timeoutMs)) === undefined,
      received: () => this.#metrics.received,
      loops: () => this.#metrics.loops,
      onChange: (interception) => {
        this.#interception = interception;
        this.#report();
      },
      onChance: () => this.#push(),
      onMisled: () => this.#send({ kind: 'steer' }),
      onDescriptor: (notice) => this.#send(notice),
    });
    this.#metrics.showDatapath(() => this.#interceptor.facts);
  }

  async start(): Promise<void> {
    this.#port.on('message', (message: ToControl) => this.#hear(message));
    if (this.#options.nodeDns === undefined) {
      const path = this.#options.resolvConf ?? (await resolvConfPath());
      this.#resolvConf = new ResolvConf(
        path,
        (server) => this.#isOwn(server),
        (servers, of) => {
          this.log.info({ servers, path: of }, "the node's resolvers");
          this.#nodeDns = servers;
          this.#push();
        },
        (trouble) => this.log.warn({ keeping: this.#nodeDns }, trouble),
      );
      await this.#resolvConf.start();
    }
    // Of a worker of before there may be lines that nobody has written.
    this.#queries.wake();
    giveBackSpareMemory(systemClock);
    await this.#source.start();
    // Whoever asks for a name waits for the configuration; who looks at metrics has time.
    void this.#serveHealth();
  }

  offer(offer: Offer | undefined): void {
    this.#offered = offer;
    this.#everOffered = true;
    this.#push();
  }

  figures(): Figures {
    return this.#metrics.figures;
  }

  probe(names: readonly string[]): Promise<Probed[]> {
    const number = ++this.#pings;
    return new Promise((resolve) => {
      const message = 'the serving thread is silent';
      const silent = () => end(names.map((name) => ({ name, ok: false, message })));
      const timer = setTimeout(silent, probesTimeoutMs);
      const end = (probes: Probed[]) => {
        clearTimeout(timer);
        this.#probing.delete(number);
        resolve(probes);
      };
      this.#probing.set(number, end);
      this.#send({ kind: 'probe', number, names });
    });
  }

  fatal(lines: string[]): void {
    this.#send({ kind: 'fatal', lines });
  }

  #push(): void {
    if (!this.#everOffered) return;
    this.#pending += 1;
    this.#inOrder(() => this.#change().finally(() => this.#changed()));
  }

  /** Whoever offers the same again wants to know what it became, too. */
  #changed(): void {
    this.#pending -= 1;
    this.#report();
  }

  async #change(): Promise<void> {
    const offered = this.#offered;
    const arrangement = offered && (await this.#arrange(offered));
    const desired = arrangement && this.#desire(offered, arrangement);
    const isOfSameNames = isDeepStrictEqual(arrangement?.names, this.#arrangement?.names);
    if (this.#number > 0 && isOfSameNames && isDeepStrictEqual(desired, this.#desired)) return;
    this.#desired = desired;
    this.#arrangement = arrangement;
    // Nobody is led to a socket that is about to close, nor before there is one.
    if (arrangement === undefined) await this.#interceptor.withdraw();
    else await this.#interceptor.prepare(arrangement);
    this.#sendDesired();
  }

  /** A listener that is not named is not opened; options replace the addresses of those that are. */
  #arrange({ config, clusterDns, listen }: Offer): Promise<Arrangement> {
    const given: ListenAddresses = {};
    for (const { name } of config.listeners) {
      const addresses = this.#options.listen[name] ?? listen?.[name];
      if (addresses !== undefined) given[name] = addresses;
    }
    return this.#interceptor.arrange(config, { clusterDns, nodeDns: this.#nodeDns, given });
  }

  /** The agent never asks itself: addresses of its own that this configuration listens on are no resolvers of the node. */
  #desire({ config, clusterDns }: Offer, { listen, plan, names }: Arrangement): Desired {
    const others = new Set(plan.addresses.filter(({ own }) => !own).map(({ address }) => address));
    const own = Object.values(listen)
      .flat()
      .filter(({ address }) => !others.has(address));
    const leftOut = this.#nodeDns.filter((server) => isAmong(server, own));
    if (leftOut.length > 0 && !isDeepStrictEqual(leftOut, this.#leftOut)) {
      this.log.warn({ leftOut }, 'resolvers that are this agent itself are not asked');
    }
    this.#leftOut = leftOut;
    const nodeDns = this.#nodeDns.filter((server) => !leftOut.includes(server));
    return { config, listen, destinations: { clusterDns, nodeDns }, ...(names && { marks: names.marks }) };
  }

  #inOrder(deed: () => Promise<void>): void {
    this.#order = this.#order
      .then(deed)
      .catch((error: Error) => this.log.error({ error: error.stack ?? String(error) }, 'a mistake of ours'));
  }

  #sendDesired(): void {
    clearTimeout(this.#retry);
    this.#number += 1;
    this.#send({ kind: 'desired', number: this.#number, desired: this.#desired });
  }

  #isOwn(server: string): boolean {
    const listening = this.#outcome?.listening ?? Object.values(this.#options.listen).flat();
    const { addresses } = this.#arrangement?.plan ?? { addresses: [] };
    // Where it answers in a resolver's place, that resolver is not itself.
    const isOther = (at: Endpoint) => addresses.some(({ address, own }) => !own && address === at.address);
    return isAmong(
      server,
      listening.filter((at) => !isOther(at)),
    );
  }

  #hear(message: ToControl): void {
    switch (message.kind) {
      case 'outcome':
        this.#inOrder(() => this.#take(message));
        break;
      case 'tally':
        this.#metrics.add(message.notice);
        break;
      case 'log':
        for (const { level, msg, fields } of message.records) this.log[level](fields, msg);
        break;
      case 'queries':
        this.#queries.wake();
        break;
      case 'pong':
        this.#pongs.get(message.number)?.();
        break;
      case 'probed':
        this.#probing.get(message.number)?.(message.probes);
        break;
      case 'withdraw':
        void this.#interceptor.withdraw().then(() => this.#send({ kind: 'withdrawn' }));
        break;
      case 'stop':
        void this.#stop();
        break;
    }
  }

  async #take({ number, outcome }: ToControl & { kind: 'outcome' }): Promise<void> {
    if (number !== this.#number) return;
    await this.#intercept(outcome);
    const before = this.#outcome;
    this.#outcome = outcome;
    this.#answered = number;
    const { refused, silent, listening } = outcome;
    this.#metrics.configurations.inc({ outcome: refused === undefined ? 'applied' : 'refused' });
    const serving = listening.length > 0 && silent === undefined;
    this.#metrics.serving.set(serving ? 1 : 0);
    this.#ready.set(serving);
    this.#logOutcome(outcome, before);
    if (refused?.code === 'LISTEN' || silent !== undefined)
      this.#retry = setTimeout(() => this.#sendDesired(), retryMs);
    this.#report();
  }

  /** Sockets first, then the queries. */
  async #intercept({ refused }: Outcome): Promise<void> {
    if (this.#desired === undefined || this.#arrangement === undefined) await this.#interceptor.remove();
    else if (refused !== undefined) await this.#interceptor.revert();
    else {
      const { clusterDns, nodeDns } = this.#desired.destinations;
      // Over TLS alone means that nothing of ours goes there in the clear.
      const named = this.#desired.config.upstreams.flatMap(({ servers, tls }) => (tls === undefined ? servers : []));
      await this.#interceptor.commit(this.#arrangement, [...clusterDns, ...nodeDns, ...named]);
    }
  }

  #report(): void {
    // What became of one configuration says nothing of the next one.
    if (this.#outcome === undefined || this.#pending > 0 || this.#answered !== this.#number) return;
    this.#source.report({ ...this.#outcome, ...(this.#interception && { interception: this.#interception }) });
  }

  /** The same trouble again, from a retry, is said once. */
  #logOutcome(outcome: Outcome, before: Outcome | undefined): void {
    const { refused, silent, listening } = outcome;
    const isNews = !isDeepStrictEqual(outcome, before);
    if (refused !== undefined) {
      if (isNews) this.log.error({ code: refused.code, error: refused.error }, 'configuration refused');
    } else if (silent !== undefined) {
      if (isNews) this.log.error({ error: silent }, 'not answering');
    } else if (listening.length === 0) this.log.info('not serving');
    else this.log.info({ listening }, isNews ? 'serving' : 'configuration applied');
  }

  async #serveHealth(): Promise<void> {
    const { metrics } = this.#options;
    for (let complained = false; ; ) {
      try {
        const sources = {
          metrics: async () => ({ text: await this.#metrics.expose(), contentType: this.#metrics.contentType }),
          alive: () => this.#alive(),
          ready: () => this.#unreadyReason(),
        };
        // In a cluster an update has two agents on the node for a while.
        const { url, close } = await serveHealth(metrics, sources, this.#options.profile === undefined);
        this.#closeHealth = close;
        this.log.info({ url }, 'metrics and health');
        return;
      } catch (error) {
        // Answering queries matters more than being looked at: serve on, and try again.
        if (!complained)
          this.log.error({ error: (error as Error).message }, 'metrics and health cannot be served; trying again');
        complained = true;
        await new Promise((resolve) => setTimeout(resolve, metricsRetryMs));
      }
    }
  }

  #alive(timeoutMs = pongTimeoutMs): Promise<string | undefined> {
    const number = ++this.#pings;
    return new Promise((resolve) => {
      const timer = setTimeout(() => end(`the serving thread has not answered for ${timeoutMs} ms`), timeoutMs);
      const end = (complaint?: string) => {
        clearTimeout(timer);
        this.#pongs.delete(number);
        resolve(complaint);
      };
      this.#pongs.set(number, () => end());
      this.#send({ kind: 'ping', number });
    });
  }

  #unreadyReason(): string | undefined {
    if (this.#outcome === undefined) return 'no configuration yet';
    if (this.#outcome.silent !== undefined) return this.#outcome.silent;
    return this.#outcome.listening.length > 0 ? undefined : (this.#outcome.refused?.error ?? 'this node is not served');
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#retry);
    this.#ready.set(false);
    this.#resolvConf?.stop();
    // Stand-alone, and where this node is not served any more, nothing is left behind: that may be under way, and has to come to
    // its end. Otherwise the fallback of our own addresses outlives the agent.
    this.#outcome = undefined; // what changes from now on is news to nobody
    const isServed = this.#desired !== undefined || !this.#everOffered;
    if (this.#options.profile !== undefined || !isServed) await this.#interceptor.remove();
    this.#interceptor.close();
    this.#closeHealth();
    this.#queries.end();
    this.log.info('stopped');
    await this.#endLog(lastLinesMs);
    this.#send({ kind: 'stopped' });
    await this.#source.stop();
  }

  #send(message: ToServing): void {
    this.#port.postMessage(message);
  }
}

/** Whether the server, `ip:port`, is one of these listeners. */
function isAmong(server: string, listeners: readonly Endpoint[]): boolean {
  const endpoint = parseEndpoint(server);
  return endpoint !== undefined && listeners.some((listener) => reaches(endpoint, listener));
}
