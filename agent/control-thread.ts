import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { ToServing } from './channel.ts';
import { queryLogMemory } from './query-log.ts';

/** The worker has time: what it drops is collected early, in a new space of 1 MiB instead of 16. What that saves is in bench/results.md. */
const resourceLimits = { maxYoungGenerationSizeMb: 3 };

export interface ControlListener {
  message(message: ToServing): void;
  error(error: Error): void;
  exit(): void;
}

type Heard = (listener: ControlListener) => void;

/**
 * Starts control workers, and has what they share with the thread that serves. The first one is started at once, before the modules that serve
 * are loaded: each thread has enough to load, and neither needs the other for that.
 */
export class ControlThread {
  /** What this process proves by that it is itself: drawn at each start, known to its threads alone. */
  readonly startKey = randomBytes(32);
  readonly queryLog = queryLogMemory();
  readonly #module: URL;
  readonly #data: Record<string, unknown>;
  #first: Early | undefined;

  /**
   * @param module that runs in the worker
   * @param data what it is given, with the key and the log of queries beside it
   */
  constructor(module: URL, data: Record<string, unknown>) {
    this.#module = module;
    this.#data = data;
    this.#first = new Early(this.#start());
  }

  /**
   * The first one, with what it has said so far, and then new ones.
   * @param take is given the worker before `listener` hears anything of it
   */
  next(listener: ControlListener, take: (worker: Worker) => void): void {
    const early = this.#first ?? new Early(this.#start());
    this.#first = undefined;
    take(early.worker);
    early.listen(listener);
  }

  #start(): Worker {
    const { startKey, queryLog } = this;
    return new Worker(this.#module, { workerData: { ...this.#data, startKey, queryLog }, resourceLimits });
  }
}

/** A Worker tells what it hears whether anybody listens or not. */
class Early {
  readonly worker: Worker;
  readonly #heard: Heard[] = [];
  #hear = (tell: Heard): void => void this.#heard.push(tell);

  constructor(worker: Worker) {
    this.worker = worker;
    worker.on('message', (message: ToServing) => this.#hear((listener) => listener.message(message)));
    worker.on('error', (error) => this.#hear((listener) => listener.error(error as Error)));
    worker.once('exit', () => this.#hear((listener) => listener.exit()));
  }

  listen(listener: ControlListener): void {
    this.#hear = (tell) => tell(listener);
    for (const tell of this.#heard.splice(0)) tell(listener);
  }
}
