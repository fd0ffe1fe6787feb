/**
 * Sockets of queries upstream over UDP: each query has one of its own, and a flood of them shall leave descriptors for connections,
 * files and metrics, and ports for itself. What would go beyond is refused at once.
 */
import { readFileSync } from 'node:fs';
import { Forwarder, type ForwarderOptions } from './forward/forwarder.ts';
import { type Outcome, refused } from './forward/outcome.ts';
import type { Outgoing } from './forward/outgoing.ts';
import type { DetachedQuery } from './wire/query.ts';

/** Of the descriptors that the process may have. */
const share = 0.5;
/** Linux draws from 28,232 ports, unless it is told otherwise (net.ipv4.ip_local_port_range). */
const maxPorts = 24_000;
/** Where the system does not say: what POSIX systems have at least. */
const usualDescriptors = 1_024;
/** A server may be asked so often within the time of a query. */
const socketsPerServer = 3;

/** Descriptors that this process may have open. */
export function maxDescriptors(limits = readLimits()): number {
  const [, soft] = /^Max open files +(\d+|unlimited)/m.exec(limits) ?? [];
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft ?? usualDescriptors);
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return '';
  }
}

/** One for all server blocks. */
export class UdpSockets {
  readonly max: number;
  /** Those that may still be opened for queries under way. */
  #claimed = 0;
  #open = 0;

  constructor(descriptors = maxDescriptors()) {
    this.max = Math.min(maxPorts, Math.floor(descriptors * share));
  }

  get open(): number {
    return this.#open;
  }

  /** The same, counted. */
  counted(outgoing: Outgoing): Outgoing {
    return {
      ...outgoing,
      udp: (server) => {
        const socket = outgoing.udp(server);
        this.#open += 1;
        socket.once('close', () => {
          this.#open -= 1;
        });
        return socket;
      },
    };
  }

  /** False where a query that may take so many does not fit any more; else they are to be given back. */
  claim(count: number): boolean {
    if (this.#open + this.#claimed + count > this.max) return false;
    this.#claimed += count;
    return true;
  }

  giveBack(count: number): void {
    this.#claimed -= count;
  }
}

/** A forwarder that asks nobody where there may be no socket for it. */
export class SocketBoundForwarder extends Forwarder {
  readonly #sockets: UdpSockets;
  readonly #need: number;
  readonly #onRefused: () => void;

  constructor(options: ForwarderOptions, sockets: UdpSockets, onRefused: () => void) {
    super(options);
    this.#sockets = sockets;
    const overUdp = [...options.upstreams, ...options.fallBack].filter(({ overTcp }) => !overTcp);
    this.#need = overUdp.length * socketsPerServer;
    this.#onRefused = onRefused;
  }

  override forward(query: DetachedQuery, client: string, onEnd: (outcome: Outcome) => void): void {
    const [sockets, need] = [this.#sockets, this.#need];
    if (need === 0) {
      super.forward(query, client, onEnd);
      return;
    }
    if (!sockets.claim(need)) {
      this.#onRefused();
      onEnd(refused(`${sockets.open} sockets are open for queries over UDP, of ${sockets.max} that there may be`));
      return;
    }
    let isHeld = true;
    const giveBack = () => {
      if (isHeld) sockets.giveBack(need);
      isHeld = false;
    };
    try {
      super.forward(query, client, (outcome) => {
        giveBack();
        onEnd(outcome);
      });
    } catch (error) {
      giveBack();
      throw error;
    }
  }
}
