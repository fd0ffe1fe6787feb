/**
 * Whether what is intercepted arrives. Another rule of the node (firewalld, ufw, a network plugin's host policy) may drop at
 * INPUT what ours has accepted, and no heartbeat over loopback would notice. So each source is first tried with one packet;
 * the rules themselves see it arrive and trust the source from then on. This looks at the counts. Pure.
 */

/** Packets so far, of both transports. */
export interface InputCounts {
  /** Of trusted sources. */
  intercepted: number;
  /** Sent on trial. */
  tried: number;
  /** Seen at the end of INPUT, of trusted sources and on trial. */
  arrived: number;
  /** On trial, and seen. */
  proved: number;
}

export interface InputVerdict {
  /** Sources whose packets did not arrive, while nobody's did: nothing can be intercepted. */
  blocked: boolean;
  /** Sources whose packets did not arrive, while those of others did: these are left alone. */
  partly: boolean;
}

/** Two reads are not one moment: a packet between the hooks looks lost until the next read. */
const suspectAfter = 3;
/** Longer than a source that failed its trial is left alone. */
const memoryMs = 6 * 60_000;

export class InputWatch {
  #lost = 0;
  #suspicion = 0;
  #unproved = 0;
  /** Unproved at two reads in a row. */
  #failed = 0;
  #arrived = 0;
  #failedAtMs = Number.NEGATIVE_INFINITY;
  #arrivedAtMs = Number.NEGATIVE_INFINITY;

  /** @returns true when packets of trusted sources get lost: trust nobody then, and try each source anew */
  observe({ intercepted, tried, arrived, proved }: InputCounts, nowMs: number): boolean {
    const lost = intercepted + proved - arrived;
    const growth = Math.max(0, lost - this.#lost);
    // One that stays missing at the second look is lost, however slow the traffic.
    const doubt = growth >= suspectAfter || (growth > 0 && this.#suspicion > 0);
    this.#suspicion = doubt ? 0 : growth;
    if (doubt) this.#lost = lost;
    const failed = Math.min(tried - proved, this.#unproved);
    if (failed > this.#failed) this.#failedAtMs = nowMs;
    if (arrived > this.#arrived) this.#arrivedAtMs = nowMs;
    // What arrived before something began to drop says nothing of what comes now.
    if (doubt) this.#arrivedAtMs = Number.NEGATIVE_INFINITY;
    this.#unproved = tried - proved;
    this.#failed = failed;
    this.#arrived = arrived;
    return doubt;
  }

  verdict(nowMs: number): InputVerdict {
    const recently = (atMs: number) => nowMs - atMs < memoryMs;
    const failing = recently(this.#failedAtMs);
    return { blocked: failing && !recently(this.#arrivedAtMs), partly: failing && recently(this.#arrivedAtMs) };
  }
}
