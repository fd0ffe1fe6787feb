/**
 * Where lines of the log go: a descriptor that may stop taking them. If nobody reads the pipe that is our stdout, a write waits for
 * as long as nobody does, and with it everything else that the thread does. So lines wait, up to a bound, and further ones are lost
 * and counted.
 */
import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import type { Clock } from './clock.ts';

/** Of lines that wait: some thousands. */
const usualOctets = 1024 * 1024;
/** How soon a pipe that was full is tried again. */
const retryMs = 100;

export class LogOutput {
  /** Lines that nobody will read. */
  lost = 0;
  readonly #fd: number;
  readonly #clock: Clock;
  readonly #mostOctets: number;
  #lines: string[] = [];
  #octets = 0;
  /** What was begun to be written. */
  #rest: Buffer = Buffer.alloc(0);
  #isDue = false;

  constructor(fd: number, clock: Clock, mostOctets = usualOctets) {
    this.#fd = fd;
    this.#clock = clock;
    this.#mostOctets = mostOctets;
  }

  /** Takes a line, and writes it with the next {@link flush}; `share` is what of the room may be in use before it. */
  hold(line: string, share = 1): void {
    const octets = Buffer.byteLength(line);
    if (this.waiting + octets > this.#mostOctets * share) {
      this.lost += 1;
      return;
    }
    this.#lines.push(line);
    this.#octets += octets;
  }

  write(line: string): void {
    this.hold(line);
    this.flush();
  }

  /** Octets. */
  get waiting(): number {
    return this.#octets + this.#rest.length;
  }

  /** Writes what there is, or as much as is taken now. */
  flush(): void {
    if (this.#isDue) return;
    this.#writeOn();
    if (this.waiting === 0) return;
    this.#isDue = true;
    this.#clock.after(retryMs, () => {
      this.#isDue = false;
      this.flush();
    });
  }

  /** Waits so long at most until all is taken. */
  async end(withinMs: number): Promise<void> {
    const untilMs = this.#clock.nowMs() + withinMs;
    for (this.#writeOn(); this.waiting > 0 && this.#clock.nowMs() < untilMs; this.#writeOn()) {
      await new Promise<void>((resolve) => this.#clock.after(retryMs, resolve));
    }
  }

  #writeOn(): void {
    try {
      for (;;) {
        if (this.#rest.length === 0) {
          if (this.#octets === 0) return;
          this.#rest = Buffer.from(this.#lines.join(''));
          this.#lines = [];
          this.#octets = 0;
        }
        this.#rest = this.#rest.subarray(writeSync(this.#fd, this.#rest));
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return;
      // Nobody has it open any more (EPIPE), or there is no room (ENOSPC): serving goes on, and the next lines may fare better.
      for (const octet of this.#rest) if (octet === newline) this.lost += 1;
      this.#rest = Buffer.alloc(0);
    }
  }
}

const newline = 0x0a;

/**
 * The pipe behind a descriptor, opened once more: that its writes do not wait is then said of this one alone, and not of whatever shares the
 * descriptor with us. What is no pipe is taken as it is: writing to a file, a terminal or a socket of a log daemon.
 */
export function withoutWaiting(fd: number): number {
  if (!fstatSync(fd).isFIFO()) return fd;
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // Another user's, or one that nobody reads any more.
    return fd;
  }
}
