import type { Clock, Timer } from '../../agent/clock.ts';

interface Due {
  readonly atMs: number;
  readonly callback: () => void;
}

/** Loop turns in which everything in memory that was set off has run its course. */
const turns = 3;

/** The agent's clock under the test's hand: time passes in {@link FakeClock.advance} alone. */
export class FakeClock implements Clock {
  #nowMs: number;
  readonly #timers = new Set<Due>();

  /** @param startMs above 0, so that nothing passes because "never" and "at the start" look alike */
  constructor(startMs = 1_000_000) {
    this.#nowMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const due: Due = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.add(due);
    return { cancel: () => void this.#timers.delete(due) };
  }

  /** Timers that are set and neither ran nor were cancelled. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Lets `ms` pass: each timer runs at its own time, in order, and what it set off has run its course before the next one. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const due = this.#next();
      if (due === undefined || due.atMs > untilMs) break;
      this.#timers.delete(due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.callback();
      await settle();
    }
    this.#nowMs = untilMs;
  }

  /** The process stands still: time passes, and what is due meanwhile runs late, with the next advance. */
  pause(ms: number): void {
    this.#nowMs += ms;
  }

  /** They are kept in the order of setting: of two at one time, the first. */
  #next(): Due | undefined {
    let next: Due | undefined;
    for (const due of this.#timers) if (next === undefined || due.atMs < next.atMs) next = due;
    return next;
  }
}

/** Resolves once all promises that can settle without time or network have done so. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
