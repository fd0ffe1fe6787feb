/** How an operator ends: in an order in which nobody meets a write of it. */
import { systemClock } from '../kube/clock.ts';
import type { Clients, Parts } from './assembly.ts';

/** How long reconciles under way may take to end once we stop. */
const STOP_MS = 1_000;
/** How long giving the Lease back may take. */
const RELEASE_MS = 1_000;

/** With `isLast` nobody is to act after us: the Lease goes altogether. */
export async function end(
  { world, controller, election, events }: Parts,
  clients: Clients,
  isLast = false,
): Promise<void> {
  // Who waits for a turn to write has begun nothing: whoever leads next does that, and would wait for us as long as we for our turns.
  clients.main.endWrites();
  // The Lease is given back when all that we have begun has ended, and otherwise runs out: nobody meets a write of ours.
  const release = await within(STOP_MS, controller.stop());
  events.stop();
  await within(RELEASE_MS, election.stop({ release, isLast }));
  const ended = world.stop();
  for (const client of [clients.main, clients.lease]) client.close();
  await within(STOP_MS, ended);
}

/** Resolves with whether `work` ended within `ms`; leaves no timer behind. */
export async function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  let cancel = (): void => {};
  const expired = new Promise<boolean>((resolve) => {
    cancel = systemClock.after(ms, () => resolve(false));
  });
  const inTime = await Promise.race([work.then(() => true), expired]);
  cancel();
  return inTime;
}

export function signalled(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
}
