/**
 * The control worker: takes configurations from a source, hands them to the serving thread whole, and tells everybody what
 * became of them. All that may be slow happens here.
 */
import { isDeepStrictEqual } from 'node:util';
import type { MessagePort } from 'node:worker_threads';
import { dnsPort, formatEndpoint } from '../api/v1alpha1/address.ts';
import type { Desired, Outcome, ToControl, ToServing } from './channel.ts';
import type { ConfigSink, ConfigSource, Offer } from './config/config-source.ts';
import { ResolvConf, resolvConfPath } from './config/resolv-conf.ts';
import { serveHealth } from './health.ts';
import type { ListenAddresses } from './listen/listeners.ts';
import { type Log, openLog } from './log.ts';
import { Metrics } from './metrics.ts';
import type { AgentOptions } from './options.ts';
import { ReadyFile } from './readiness.ts';

/** A socket that could not be opened, or a listener that stayed silent, is tried again. */
const retryMs = 2_000;
const pongTimeoutMs = 1_000;
const metricsRetryMs = 5_000;

export type OpenSource = (sink: ConfigSink) => ConfigSource;

export class Control implements ConfigSink {
  readonly log: Log;
  readonly #flush: () => void;
  readonly #port: MessagePort;
  readonly #options: AgentOptions;
  readonly #metrics: Metrics;
  readonly #ready: ReadyFile;
  readonly #source: ConfigSource;
  #resolvConf: ResolvConf | undefined;
  #offered: Offer | undefined;
  #everOffered = false;
  #nodeDns: readonly string[];
  #desired: Desired | undefined;
  #number = 0;
  /** The outcome of the newest number has come. */
  #settled = false;
  #outcome: Outcome | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closeHealth = () => {};
  readonly #pongs = new Map<number, () => void>();
  #pings = 0;

  constructor(port: MessagePort, options: AgentOptions, version: string, openSource: OpenSource) {
    const { log, flush } = openLog(options.logLevel);
    this.log = log;
    this.#flush = flush;
    this.#port = port;
    this.#options = options;
    this.#nodeDns = options.nodeDns ?? [];
    this.#metrics = new Metrics(version);
    this.#ready = new ReadyFile(options.readyFile);
    this.#source = openSource(this);
  }

  async start(): Promise<void> {
    this.#port.on('message', (message: ToControl) => this.#hear(message));
    if (this.#options.nodeDns === undefined) {
      const path = this.#options.resolvConf ?? (await resolvConfPath());
      this.#resolvConf = new ResolvConf(
        path,
        (server) => this.#isOwn(server),
        (servers) => {
          this.log.info({ servers, path }, "the node's resolvers");
          this.#nodeDns = servers;
          this.#push();
        },
        (trouble) => this.log.warn({ keeping: this.#nodeDns }, trouble),
      );
      await this.#resolvConf.start();
    }
    void this.#serveHealth();
    await this.#source.start();
  }

  offer(offer: Offer | undefined): void {
    this.#offered = offer;
    this.#everOffered = true;
    this.#push();
  }

  fatal(lines: string[]): void {
    this.#send({ kind: 'fatal', lines });
  }

  #push(): void {
    if (!this.#everOffered) return;
    const desired = this.#offered && this.#desire(this.#offered);
    if (this.#number > 0 && isDeepStrictEqual(desired, this.#desired)) {
      // What it became is known, or will be told soon; whoever offered it again wants to know.
      if (this.#settled && this.#outcome !== undefined) this.#source.report(this.#outcome);
      return;
    }
    this.#desired = desired;
    this.#sendDesired();
  }

  /** The agent never asks itself: addresses that this configuration listens on are no resolvers of the node. */
  #desire(offered: Offer): Desired {
    const listen = this.#listen(offered);
    const own = new Set(Object.values(listen).flat().map(formatEndpoint));
    const nodeDns = this.#nodeDns.filter((server) => !own.has(server));
    return { config: offered.config, listen, destinations: { clusterDns: offered.clusterDns, nodeDns } };
  }

  #sendDesired(): void {
    clearTimeout(this.#retry);
    this.#number += 1;
    this.#settled = false;
    this.#send({ kind: 'desired', number: this.#number, desired: this.#desired });
  }

  /** A listener that is not named is not opened; options replace the addresses of those that are. */
  #listen({ config, listen }: Offer): ListenAddresses {
    return Object.fromEntries(
      config.listeners.map(({ name, addresses }) => [
        name,
        this.#options.listen[name] ?? listen?.[name] ?? addresses.map((address) => ({ address, port: dnsPort })),
      ]),
    );
  }

  #isOwn(server: string): boolean {
    const listening = this.#outcome?.listening ?? Object.values(this.#options.listen).flat();
    return listening.some((own) => formatEndpoint(own) === server);
  }

  #hear(message: ToControl): void {
    switch (message.kind) {
      case 'outcome':
        if (message.number === this.#number) this.#take(message.outcome);
        break;
      case 'tally':
        this.#metrics.add(message.notice);
        break;
      case 'log':
        for (const { level, msg, fields } of message.records) this.log[level](fields, msg);
        break;
      case 'pong':
        this.#pongs.get(message.number)?.();
        break;
      case 'withdraw':
        this.#send({ kind: 'withdrawn' });
        break;
      case 'stop':
        void this.#stop();
        break;
    }
  }

  #take(outcome: Outcome): void {
    const before = this.#outcome;
    this.#outcome = outcome;
    this.#settled = true;
    const { refused, silent, listening } = outcome;
    this.#metrics.configurations.inc({ outcome: refused === undefined ? 'applied' : 'refused' });
    const serving = listening.length > 0 && silent === undefined;
    this.#metrics.serving.set(serving ? 1 : 0);
    this.#ready.set(serving);
    this.#logOutcome(outcome, before);
    if (refused?.code === 'LISTEN' || silent !== undefined)
      this.#retry = setTimeout(() => this.#sendDesired(), retryMs);
    this.#source.report(outcome);
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
        const { url, close } = await serveHealth(metrics, {
          metrics: async () => ({ text: await this.#metrics.expose(), contentType: this.#metrics.contentType }),
          alive: () => this.#alive(),
          ready: () => this.#unreadyReason(),
        });
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

  #alive(): Promise<string | undefined> {
    const number = ++this.#pings;
    return new Promise((resolve) => {
      const timer = setTimeout(() => end(`the serving thread has not answered for ${pongTimeoutMs} ms`), pongTimeoutMs);
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
    this.#closeHealth();
    this.log.info('stopped');
    this.#flush();
    this.#send({ kind: 'stopped' });
    await this.#source.stop();
  }

  #send(message: ToServing): void {
    this.#port.postMessage(message);
  }
}
