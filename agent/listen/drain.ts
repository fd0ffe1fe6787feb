/** How often a socket that closes looks whether the last answers are out. */
const pollMs = 5;

/**
 * Waits until nothing came in a turn of the loop, so that nothing is queued by the kernel either, and all is answered, with the
 * answers on their way; or `graceMs` have passed.
 * @param received how many packets so far
 * @param open how many of them are not answered, or their answers not with the kernel
 */
export async function drained(graceMs: number, received: () => number, open: () => number): Promise<void> {
  const endsAtMs = performance.now() + graceMs;
  do {
    const before = received();
    await new Promise((resolve) => setTimeout(resolve, pollMs));
    // Timers may fire twice without a look at the sockets in between; these two have one between them.
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    if (received() === before && open() === 0) return;
  } while (performance.now() < endsAtMs);
}
