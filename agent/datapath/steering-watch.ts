/**
 * Watches whether what comes to our addresses is led to this agent's sockets: places among the sockets of several agents
 * change when one of them leaves, and who stayed may be asked nothing, or a part.
 */
import type { Pulse } from './heartbeat.ts';

/** To lead it here takes a moment in which others may get it: where that does not help, it is not tried all the time. */
const againMs = 5_000;

export class SteeringWatch {
  #ledAtMs = Number.NEGATIVE_INFINITY;

  /** @returns whether it is to be led here again; an agent that has started later is left what it has taken */
  observe(pulses: Iterable<Pulse>, nowMs: number): boolean {
    const isMisled = [...pulses].some(({ udp, tcp, overtaken }) => !(udp && tcp) && !overtaken);
    if (!isMisled || nowMs - this.#ledAtMs < againMs) return false;
    this.#ledAtMs = nowMs;
    return true;
  }
}
