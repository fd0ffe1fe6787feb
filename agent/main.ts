/**
 * The agent's main thread: it serves, and does nothing else. Everything that may be slow (watches, files, logs, metrics) is done
 * by one worker, which sends whole configurations; if the worker dies, serving goes on and the worker is started again.
 */
import type { Worker } from 'node:worker_threads';
import { Builder } from './build.ts';
import { ResponseCache } from './cache/response-cache.ts';
import { updateCacheTally } from './cache-tally.ts';
import type { LogRecord, Outcome, ToControl, ToServing } from './channel.ts';
import { type Clock, systemClock } from './clock.ts';
import { Swap } from './config/swap.ts';
import type { ControlListener, ControlThread } from './control-thread.ts';
import { Descriptors } from './descriptors.ts';
import { marked, unmarked } from './forward/outgoing.ts';
import { loopbackTransport, networkTransport, transportOver } from './forward/transport.ts';
import { hasBatches } from './listen/batched.ts';
import { ListenError } from './listen/listener.ts';
import { QueryLogWriter } from './query-log.ts';
import type { ServerLog } from './server/server-log.ts';
import { Tallies } from './tallies.ts';
import { probeNames } from './trial/probes.ts';
import { countingConnections } from './upstream-connections.ts';
import { saveIntervalMs, WarmRestart } from './warm-restart.ts';

/** Bytes of cached answers, over all server blocks. */
const cacheBytes = 32 * 1024 * 1024;
const workerRestartMs = 1_000;
/** How often the kernel is asked what it has lost. */
const overrunsMs = 1_000;
/** How long the worker may take for its end once nothing is served: it removes rules, where none are to stay, and writes the last logs. */
const flushMs = 1_500;
/** How long the end may wait for the rules that lead queries here to go: a worker that is stuck must not lose what is in flight. */
const withdrawMs = 500;

export interface ServingOptions {
  thread: ControlThread;
  /** What `id.server` answers with. */
  nodeName: string;
  /** Packet marks until a configuration has others: of the agent's own queries upstream, and of queries that lead to it. Undefined: nothing is marked. */
  marks?: { own: number; intercept: number } | undefined;
  /** Where the cache is kept for the next agent; undefined: nowhere. */
  stateDir?: string | undefined;
  /** Between two snapshots of the cache; usually some minutes. */
  saveIntervalMs?: number;
}

/** Node's own sockets do not say which address was asked. */
const oneByOne =
  'system calls cannot be made here: datagrams are taken one by one, what the kernel drops is not counted, and a listener on all addresses answers from the one that the way back has';

/** Serves until a signal; resolves with the exit code. */
export function serve(options: ServingOptions): Promise<number> {
  return new Promise((resolve) => new Agent(options, systemClock, resolve).start());
}

class Agent {
  readonly #options: ServingOptions;
  readonly #exit: (code: number) => void;
  readonly #swap: Swap;
  readonly #warmRestart: WarmRestart | undefined;
  #worker: Worker | undefined;
  /** The worker's. */
  readonly #descriptors = new Descriptors();
  #logs: LogRecord[] = [];
  readonly #queryLines: QueryLogWriter;
  #stopping = false;
  #code = 0;
  #marks: ServingOptions['marks'];
  #withdrawn = () => {};
  #lastWait: NodeJS.Timeout | undefined;
  #everServed = false;
  /** Configurations are applied one at a time, in the order in which they come. */
  #applying: Promise<void> = Promise.resolve();
  readonly #tallies: Tallies;
  readonly #notices: Extract<ToControl, { kind: 'tally' }>[] = [];

  constructor(options: ServingOptions, clock: Clock, exit: (code: number) => void) {
    this.#options = options;
    this.#exit = exit;
    this.#tallies = new Tallies((notice) => {
      const message = { kind: 'tally', notice } as const;
      this.#notices.push(message);
      this.#tell(message);
    });
    const cache = new ResponseCache(cacheBytes);
    const cacheCounts = updateCacheTally(cache, this.#tallies, clock);
    const { nodeName, thread } = options;
    this.#marks = options.marks;
    const { startKey } = thread;
    this.#queryLines = new QueryLogWriter(thread.queryLog, () => this.#tell({ kind: 'queries' }));
    const own = () => this.#marks?.own ?? 0;
    const outgoing = options.marks === undefined ? unmarked : marked(own);
    const transport = transportOver(clock, countingConnections(outgoing, this.#tallies));
    const builder = new Builder(nodeName, cache, transport, clock, this.#tallies, Math.random, startKey);
    const openTransport = () => loopbackTransport(clock, this.#marks?.intercept ?? 0);
    const proof = options.marks && { startKey, openTransport };
    // Its questions go to our own listeners, which are no upstream.
    this.#swap = new Swap(
      builder,
      clock,
      networkTransport(clock, options.marks && own),
      this.#tallies,
      this.#serverLog(),
      proof,
    );
    this.#tellOverruns(clock);
    if (!hasBatches()) this.#log('info', oneByOne, {});
    if (options.stateDir === undefined) return;
    this.#warmRestart = new WarmRestart(options.stateDir, builder, () => cache.changes, cacheCounts, {
      clock,
      wallMs: Date.now,
      random: Math.random,
      saveIntervalMs: options.saveIntervalMs ?? saveIntervalMs,
      log: (level, msg, fields) => this.#log(level, msg, fields),
    });
  }

  #tellOverruns(clock: Clock): void {
    clock.after(overrunsMs, () => {
      this.#swap.tellOverruns();
      this.#tellOverruns(clock);
    });
  }

  start(): void {
    process.on('SIGTERM', () => void this.#stop(0));
    process.on('SIGINT', () => void this.#stop(0));
    this.#startWorker();
  }

  #startWorker(): void {
    const listener: ControlListener = {
      message: (message) => this.#hear(message),
      error: (error) => process.stderr.write(`localdns: the control worker failed: ${error.stack ?? error}\n`),
      exit: () => void this.#replaceWorker(),
    };
    this.#options.thread.next(listener, (worker) => {
      this.#worker = worker;
      for (const notice of this.#notices) worker.postMessage(notice);
    });
  }

  async #replaceWorker(): Promise<void> {
    this.#worker = undefined;
    // Nobody renews the tables of a dead worker, and they would be in the way of the next one's, which bear the same names.
    await this.#descriptors.closeAll();
    this.#withdrawn();
    if (this.#stopping) return;
    // Before anything was served there is nothing to protect, and a failure at every start should be seen.
    if (!this.#everServed) {
      process.stderr.write('localdns: the control worker ended before anything was served\n');
      void this.#stop(2);
    } else setTimeout(() => this.#startWorker(), workerRestartMs);
  }

  #hear(message: ToServing): void {
    switch (message.kind) {
      case 'desired':
        // Sockets that open now would be closed by nobody, and keep the process alive.
        if (this.#stopping) break;
        this.#applying = this.#applying.then(async () => {
          const outcome = await this.#apply(message);
          this.#tell({ kind: 'outcome', number: message.number, outcome });
        });
        break;
      case 'ping':
        this.#tell({ kind: 'pong', number: message.number });
        break;
      case 'probe':
        void probeNames(message.names, (query) => this.#swap.askAsPod(query), systemClock).then((probes) =>
          this.#tell({ kind: 'probed', number: message.number, probes }),
        );
        break;
      case 'fatal':
        process.stderr.write(message.lines.map((line) => `localdns: ${line}\n`).join(''));
        // A worker that was started again may meet what the first one did not; what serves goes on serving.
        if (!this.#everServed) void this.#stop(2);
        break;
      case 'descriptor':
        this.#descriptors.hear(message);
        break;
      case 'steer':
        // What withdraws or ends leads its queries away.
        if (!this.#stopping) this.#applying = this.#applying.then(async () => void (await this.#swap.steer(true)));
        break;
      case 'withdrawn':
        this.#withdrawn();
        break;
      case 'stopped':
        void this.#end();
        break;
    }
  }

  async #apply({ desired }: Extract<ToServing, { kind: 'desired' }>): Promise<Outcome> {
    if (desired === undefined) {
      await this.#swap.close();
      return { listening: [] };
    }
    // Where they change nothing is led here meanwhile.
    if (this.#marks !== undefined) this.#marks = desired.marks ?? this.#marks;
    const isKept = desired.config.cache?.warmRestart ?? true;
    try {
      await this.#swap.apply(desired, async () => (isKept ? this.#warmRestart?.restore() : undefined));
    } catch (error) {
      const code = error instanceof ListenError ? 'LISTEN' : 'CONFIG';
      return { refused: { code, error: (error as Error).message }, listening: this.#swap.listening };
    }
    this.#everServed = true;
    void (isKept ? this.#warmRestart?.start() : this.#warmRestart?.forget());
    const silent = await this.#swap.querySelf();
    return { ...(silent !== undefined && { silent }), listening: this.#swap.listening };
  }

  async #stop(code: number): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#code = code;
    await this.#withdraw();
    this.#warmRestart?.giveUp();
    await this.#applying;
    await Promise.all([this.#swap.close(), this.#warmRestart?.stop()]);
    this.#flushLogs();
    this.#tell({ kind: 'stop' });
    // Nothing else may be left that keeps the process alive until its exit code is known.
    this.#lastWait = setTimeout(() => void this.#end(), this.#worker === undefined ? 0 : flushMs);
  }

  /** Queries that would still come while the sockets close go elsewhere first. */
  #withdraw(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#withdrawn(), this.#worker === undefined ? 0 : withdrawMs);
      this.#withdrawn = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#tell({ kind: 'withdraw' });
    });
  }

  async #end(): Promise<void> {
    clearTimeout(this.#lastWait);
    await this.#worker?.terminate();
    this.#exit(this.#code);
  }

  #tell(message: ToControl): void {
    this.#worker?.postMessage(message);
  }

  /** Lines of one loop turn travel together; the worker formats and writes them. */
  #log(level: LogRecord['level'], msg: string, fields: Record<string, unknown>): void {
    if (this.#logs.length === 0) setImmediate(() => this.#flushLogs());
    this.#logs.push({ level, msg, fields });
  }

  #flushLogs(): void {
    if (this.#logs.length === 0) return;
    this.#tell({ kind: 'log', records: this.#logs });
    this.#logs = [];
  }

  #serverLog(): ServerLog {
    return {
      query: (line) => this.#queryLines.write(line, Date.now()),
      failure: (line) => this.#log('error', 'query failed', { ...line }),
      exceptionOfSearchPath: (line) =>
        this.#log('warn', 'a name exists that searchPath rules out: names below this are asked of the servers', {
          ...line,
        }),
      privateAnswer: (line) =>
        this.#log('warn', 'a name of the public Internet leads to a private address (protection.rebind)', { ...line }),
      exception: (error) =>
        this.#log('error', 'serving a query threw', { error: (error as Error).stack ?? String(error) }),
    };
  }
}
