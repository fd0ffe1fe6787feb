/**
 * Steering: several agents may hold sockets on one address for a while, when one takes over from another. The kernel tells
 * nobody which place a socket has in such a group, so it is found by trying: a program that returns a constant leads to one
 * socket, and whoever asks the address then learns whose it is.
 */

/** Asks the address once, from a source port of its own: true where the answer proves that it came from this process. */
export type AskSelf = () => Promise<boolean>;

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
export async function steerToSelf(attach: (index: number) => void, askSelf: AskSelf): Promise<boolean> {
  for (let round = 0; round < rounds; round += 1) {
    for (let index = 0; index < maxGroup; index += 1) {
      attach(index);
      const answers = await Promise.all(Array.from({ length: asksPerIndex }, askSelf));
      if (answers.every((own) => own)) return true;
    }
  }
  attach(0);
  return false;
}
