/**
 * Whether what passed all rules reaches our sockets. A BPF program of a control group may still drop it there. Pure.
 */

/** Fewer tell nothing: a packet may be between the two counts. */
const enough = 20;
/** Looks in a row at which less than a quarter has arrived. */
const patience = 2;

export class SocketWatch {
  #passed: number | undefined;
  #received = 0;
  #suspicious = 0;

  /**
   * @param passed UDP queries that passed everybody's rules so far
   * @param received those that sockets have received so far
   * @param answering whether our own heartbeats are answered; where not, another agent has the addresses, whose queries pass as well
   * @returns true when most have been lost between
   */
  observe(passed: number, received: number, answering: boolean): boolean {
    if (!answering) {
      this.#passed = undefined;
      this.#suspicious = 0;
      return false;
    }
    // Counters begin anew with a new table.
    const first = this.#passed === undefined || passed < this.#passed;
    const newlyPassed = passed - (this.#passed ?? 0);
    const newlyReceived = received - this.#received;
    if (!first && newlyPassed < enough) return false;
    this.#passed = passed;
    this.#received = received;
    if (first) return false;
    this.#suspicious = newlyReceived < newlyPassed / 4 ? this.#suspicious + 1 : 0;
    if (this.#suspicious < patience) return false;
    this.#suspicious = 0;
    return true;
  }
}
