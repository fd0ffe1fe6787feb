import { setTimeout as delay } from 'node:timers/promises';

const pollMs = 50;

/**
 * Waits until `probe` gives a value other than undefined and false, and returns that; throws once the time is over,
 * with what was wanted and why the last try was not it. A probe that throws is not there yet.
 */
export async function eventually<T>(
  wanted: string,
  withinMs: number,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (let reason = ''; ; ) {
    try {
      const found = await probe();
      if (found !== undefined && found !== false) return found;
      reason = '';
    } catch (error) {
      reason = `: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${wanted}${reason}`);
    await delay(pollMs);
  }
}
