import type { Clock } from './clock.ts';

interface Timer {
  readonly dueMs: number;
  readonly run: () => void;
}

/** A clock for tests: time passes only in advance(), and random() is the middle of its range unless set. */
export class FakeClock implements Clock {
  randomValue = 0.5;
  #nowMs = 0;
  readonly #startMs = Date.UTC(2026, 0, 1);
  readonly #timers = new Set<Timer>();

  nowMs(): number {
    return this.#nowMs;
  }

  date(): Date {
    return new Date(this.#startMs + this.#nowMs);
  }

  random(): number {
    return this.randomValue;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** The delays of the timers that are set, in milliseconds from now, soonest first. */
  pendingMs(): number[] {
    return [...this.#timers].map((timer) => timer.dueMs - this.#nowMs).sort((a, b) => a - b);
  }

  /** Lets `ms` pass: runs every timer that falls due, in order, those set meanwhile included. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const due = [...this.#timers].filter((timer) => timer.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#nowMs = Math.max(this.#nowMs, due.dueMs);
      due.run();
    }
    this.#nowMs = untilMs;
  }
}
