import type { Clock } from '../../kube/clock.ts';

interface RestOptions {
  readonly clock: Clock;
  /** Processor time of this thread so far: by the clock, work seems long on a machine that is busy with something else. */
  readonly cpuMs?: () => number;
  /** Told of each work, with the processor time that it took. */
  readonly onThought?: ((cpuSeconds: number) => void) | undefined;
}

/** However long the work took, somebody waits for what comes next. */
const MAX_REST_MS = 1_000;

/** Time off after work that takes long, so that it never takes all there is. */
export class Rest {
  readonly #clock: Clock;
  readonly #cpuMs: () => number;
  readonly #onThought: (cpuSeconds: number) => void;
  #endedMs = Number.NEGATIVE_INFINITY;
  #tookMs = 0;

  constructor({ clock, cpuMs = threadCpuMs, onThought = () => {} }: RestOptions) {
    this.#clock = clock;
    this.#cpuMs = cpuMs;
    this.#onThought = onThought;
  }

  after<T>(work: () => T): T {
    const sinceMs = this.#cpuMs();
    const result = work();
    this.#tookMs = this.#cpuMs() - sinceMs;
    this.#endedMs = this.#clock.nowMs();
    this.#onThought(this.#tookMs / 1000);
    return result;
  }

  /** When to begin again, though it might be sooner: after `factor` times as long as it took. */
  afterMs(soonestMs: number, factor: number): number {
    const restMs = Math.min(this.#tookMs * factor, MAX_REST_MS);
    return Math.max(soonestMs, this.#endedMs + restMs - this.#clock.nowMs());
  }
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
