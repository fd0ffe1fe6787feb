/**
 * Looks for a loop: a name that nobody else asks for is asked of the servers upstream; if it comes in at one of our own
 * listeners, one of them forwards to us.
 */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import type { Clock } from '../clock.ts';
import { markedUdp } from '../marked-socket.ts';
import { loopName } from '../policy/probe.ts';
import { nameFromText } from '../wire/name.ts';
import { setU16 } from '../wire/octets.ts';
import { familyOf } from './family.ts';
import type { Server } from './plan.ts';

/** After a change at once, and then now and then: others change their forwarding too. */
const everyMs = 60_000;
/** Time for the query to go round. */
const patienceMs = 2_000;
const headerLength = 12;

export class LoopProbe {
  readonly #key: Buffer;
  readonly #mark: number | undefined;
  readonly #seen: () => number;
  readonly #clock: Clock;
  #servers: readonly Server[] = [];
  #nextAtMs = 0;
  #asked: { atMs: number; seenBefore: number } | undefined;

  /**
   * @param mark by which the rules know the agent's own queries upstream; undefined where there are no rules
   * @param seen how many such names have come in at our listeners so far
   */
  constructor(key: Buffer, mark: number | undefined, seen: () => number, clock: Clock) {
    this.#key = key;
    this.#mark = mark;
    this.#seen = seen;
    this.#clock = clock;
  }

  /** Whom to ask from now on, and at once. */
  watch(servers: readonly Server[]): void {
    this.#servers = servers;
    this.#nextAtMs = this.#clock.nowMs();
  }

  /** Asks when it is time to, and tells whether the last question has come back. */
  async found(nowMs: number): Promise<boolean> {
    if (this.#asked !== undefined) {
      const found = this.#seen() > this.#asked.seenBefore;
      if (found || nowMs - this.#asked.atMs > patienceMs) this.#asked = undefined;
      return found;
    }
    if (nowMs < this.#nextAtMs || this.#servers.length === 0) return false;
    this.#nextAtMs = nowMs + everyMs;
    this.#asked = { atMs: nowMs, seenBefore: this.#seen() };
    await Promise.all(this.#servers.map((server) => this.#ask(server)));
    return false;
  }

  /** A label of its own each time, so that no cache upstream answers for the one who forwards. */
  #ask({ address, port }: Server): Promise<void> {
    const query = Buffer.alloc(headerLength);
    randomBytes(2).copy(query);
    setU16(query, 2, 0x0100);
    setU16(query, 4, 1);
    const name = `${randomBytes(4).toString('hex')}.${loopName(this.#key)}`;
    const message = Buffer.concat([query, Buffer.from(nameFromText(name), 'latin1'), Buffer.from([0, 1, 0, 1])]);
    return new Promise((resolve) => {
      try {
        const family = familyOf(address);
        const socket = this.#mark === undefined ? createSocket(`udp${family}`) : markedUdp(family, this.#mark);
        socket.on('error', () => undefined);
        socket.send(message, port, address, () => {
          socket.close();
          resolve();
        });
      } catch {
        resolve();
      }
    });
  }
}
