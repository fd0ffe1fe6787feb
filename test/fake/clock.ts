import type { Clock, Timer } from '../../agent/clock.ts';

/** Time that passes when the test says so. */
export class FakeClock implements Clock {
  #nowMs = 1_000_000;
  #timers: { dueAtMs: number; callback: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const timer = { dueAtMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  /** Timers that have not run and were not cancelled. */
  get timers(): number {
    return this.#timers.length;
  }

  /** Lets time pass: timers run in the order in which they are due, each at its own time. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs;
    await settled();
    for (;;) {
      const [next] = this.#timers.filter(({ dueAtMs }) => dueAtMs <= untilMs).sort((a, b) => a.dueAtMs - b.dueAtMs);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#nowMs = Math.max(this.#nowMs, next.dueAtMs);
      next.callback();
      await settled();
    }
    this.#nowMs = untilMs;
  }
}

/** Every promise that can go on without time or network has done so. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
