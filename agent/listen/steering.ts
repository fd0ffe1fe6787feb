/**
 * Steering: several agents may hold sockets on one address for a while, when one takes over from another. The kernel tells
 * nobody which place a socket has in such a group, so it is found by trying: a program that returns a constant leads to one
 * socket, and whoever asks the address then learns whose it is.
 */

/** Who answered: this process, which the answer proves; another one; or nobody in time. */
export type Answerer = 'self' | 'other' | 'nobody';
/** Asks the address once, from a source port of its own. */
export type Ask = () => Promise<Answerer>;

/** An agent, its successor, and those of a rollout that overtook them. */
const maxGroup = 4;
/** So many answers of one's own are no luck of the kernel's hash, which chooses where no socket has the index. */
const asksPerIndex = 4;
/** Places change when somebody leaves the group meanwhile. */
const rounds = 2;

/**
 * Leads what comes from now on to the socket of this process.
 * @param attach makes the index the one that packets go to
 * @returns false where no index did; then the first one, that of the oldest agent, has it
 */
export async function steerToSelf(attach: (index: number) => void, ask: Ask): Promise<boolean> {
  for (let round = 0; round < rounds; round += 1) {
    for (let index = 0; index < maxGroup; index += 1) {
      attach(index);
      if (await allAnsweredBy('self', ask)) return true;
    }
  }
  attach(0);
  return false;
}

/**
 * Leads what comes from now on to another agent, before the socket of this process closes; where it is the only one, or is
 * not asked any more, there is nothing to lose.
 */
export async function steerAway(attach: (index: number) => void, ask: Ask): Promise<void> {
  // Usually the successor has led it to itself long ago.
  if ((await ask()) === 'nobody' || (await allAnsweredBy('other', ask))) return;
  for (let index = 0; index < maxGroup; index += 1) {
    attach(index);
    if (await allAnsweredBy('other', ask)) return;
  }
}

async function allAnsweredBy(who: Answerer, ask: Ask): Promise<boolean> {
  const answers = await Promise.all(Array.from({ length: asksPerIndex }, ask));
  return answers.every((answerer) => answerer === who);
}
