import { type Classified, classify } from './errors.ts';
import type { WorkQueue } from './work-queue.ts';

/** What a reconcile that did not fail asks for; {} when there is nothing left to do until something changes. */
export interface Result {
  readonly requeueAfterMs?: number;
}

export type Reconcile = (key: string) => Promise<Result>;

export type Outcome = 'done' | 'requeued' | 'terminal' | 'conflict' | 'transient';

export interface ControllerOptions {
  readonly queue: WorkQueue;
  readonly reconcile: Reconcile;
  readonly workers: number;
  /** Told of each failure, with the delay until the next try; undefined where there is none. */
  readonly onFailure: (key: string, classified: Classified, retryAfterMs: number | undefined) => void;
}

/** Workers that take keys and reconcile them. What follows from the outcome is decided in one place: settle(). */
export class Controller {
  /** Reconciles by outcome since the start. */
  readonly tally: Record<Outcome, number> = { done: 0, requeued: 0, terminal: 0, conflict: 0, transient: 0 };
  readonly #options: ControllerOptions;
  #running: Promise<unknown> | undefined;
  #isStopping = false;

  constructor(options: ControllerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= Promise.all(Array.from({ length: this.#options.workers }, () => this.#work()));
  }

  /** Takes no more keys; resolves when the reconciles under way have ended. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#options.queue.close();
    await this.#running;
  }

  async #work(): Promise<void> {
    const { queue, reconcile } = this.#options;
    for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
      const outcome = await Promise.try(reconcile, key).catch(classify);
      this.tally[this.#settle(key, outcome)] += 1;
      queue.done(key);
    }
  }

  #settle(key: string, outcome: Result | Classified): Outcome {
    const { queue } = this.#options;
    // What is broken off on the way out is for somebody else to do, and nothing to tell anybody about.
    const onFailure = this.#isStopping ? () => {} : this.#options.onFailure;
    if (!('failure' in outcome)) {
      queue.forget(key);
      if (outcome.requeueAfterMs === undefined) return 'done';
      queue.addAfter(key, outcome.requeueAfterMs);
      return 'requeued';
    }
    switch (outcome.failure) {
      case 'terminal':
        queue.forget(key);
        onFailure(key, outcome, undefined);
        break;
      case 'conflict':
      case 'transient':
        onFailure(key, outcome, queue.retry(key, outcome.retryAfterMs));
        break;
    }
    return outcome.failure;
  }
}
