import type { Clock } from '../kube/clock.ts';

/** Whoever reads the log wants to know why nothing happens. */
const SAY_AFTER_MS = 5_000;

export interface TakeoverOptions {
  readonly clock: Clock;
  /** Resolves once all is known as it is at this moment. */
  readonly refresh: () => Promise<void>;
  /** From now on it is acted; told how long that took. */
  readonly begin: (waitedMs: number) => void;
  /** Told again and again while there is a leader who does not act yet, with for how long. */
  readonly onWait: (seconds: number) => void;
}

/**
 * From the Lease to the first write: whoever led before has brought things about of which our watches may not have told. What is decided on
 * what was before would undo them, and try again what has failed.
 */
export class Takeover {
  readonly #options: TakeoverOptions;
  /** Of the turn to lead; undefined while somebody else has it. */
  #turn: object | undefined;
  #cancelWait = (): void => {};

  constructor(options: TakeoverOptions) {
    this.#options = options;
  }

  /** The Lease is ours. */
  async begin(): Promise<void> {
    const { clock, refresh, begin } = this.#options;
    const turn = {};
    this.#turn = turn;
    const ledMs = clock.nowMs();
    this.#waitOn(ledMs);
    await refresh();
    // Lost meanwhile, and perhaps won again: that turn reads for itself.
    if (this.#turn !== turn) return;
    this.#cancelWait();
    begin(clock.nowMs() - ledMs);
  }

  /** It is not ours any more. */
  end(): void {
    this.#turn = undefined;
    this.#cancelWait();
  }

  #waitOn(sinceMs: number): void {
    const { clock, onWait } = this.#options;
    this.#cancelWait = clock.after(SAY_AFTER_MS, () => {
      onWait(Math.round((clock.nowMs() - sinceMs) / 1000));
      this.#waitOn(sinceMs);
    });
  }
}
