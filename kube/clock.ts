/** Time and chance as arguments: whoever waits or measures takes a Clock, so that a test can play hours in a millisecond. */
export interface Clock {
  /** Monotonic milliseconds: for durations only, never shown to anyone. */
  nowMs(): number;
  /** Wall-clock time: for timestamps that people read. */
  date(): Date;
  /** Calls `run` once after `delayMs`; returns what cancels it. Cancelling twice is harmless. */
  after(delayMs: number, run: () => void): () => void;
  /** In [0, 1). */
  random(): number;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  date: () => new Date(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
  random: Math.random,
};

/** Resolves after `delayMs`, or at once when `signal` aborts; never rejects: the caller looks at the signal itself. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const wake = (): void => {
      cancel();
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const cancel = clock.after(delayMs, wake);
    signal.addEventListener('abort', wake, { once: true });
  });
}
