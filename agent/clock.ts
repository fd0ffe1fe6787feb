import { performance } from 'node:perf_hooks';
import { TimerWheel } from './timer-wheel.ts';

/** Time as the serving thread sees it; scenarios bring their own. */
export interface Clock {
  /** Milliseconds on a clock that never goes back. */
  nowMs(): number;
  /** Calls once after `delayMs`; the timer keeps no process alive. */
  after(delayMs: number, callback: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

let heldMs: number | undefined;

function nowMs(): number {
  return heldMs ?? performance.now();
}

/** While a batch is served time stands still: to read it anew for each query would cost as much as to look an answer up. */
export function atOneTime(deed: () => void): void;
export function atOneTime<What>(deed: (what: What) => void, what: What): void;
export function atOneTime(deed: (what?: unknown) => void, what?: unknown): void {
  const outer = heldMs;
  heldMs = nowMs();
  try {
    deed(what);
  } finally {
    heldMs = outer;
  }
}

const wheel = new TimerWheel(nowMs);

export const systemClock: Clock = { nowMs, after: (delayMs, callback) => wheel.after(delayMs, callback) };

/** What `promise` comes to, if it does in time. */
export function within<T>(delayMs: number, clock: Clock, promise: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(delayMs, () => resolve(undefined));
    promise.then(resolve, reject).finally(() => timer.cancel());
  });
}
