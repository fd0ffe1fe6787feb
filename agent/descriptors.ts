/**
 * Descriptors that a worker has of the C library itself. Node knows nothing of them, and closes none when the worker ends: what
 * the kernel keeps for them, such as tables that end with their owner, would stay for as long as the process lives, and nobody
 * could change it. So the worker tells of each, and the serving thread closes what a dead one has left.
 */
import { close as closeFile } from 'node:fs';
import { promisify } from 'node:util';
import type { Libc } from './libc.ts';

export interface DescriptorNotice {
  kind: 'descriptor';
  fd: number;
  isOpen: boolean;
}

/** The same calls, of which `tell` hears what they open, and what they are about to close: the number may soon be another's. */
export function tellingOfDescriptors(libc: Libc, tell: (notice: DescriptorNotice) => void): Libc {
  const opened = (fd: number) => {
    tell({ kind: 'descriptor', fd, isOpen: true });
    return fd;
  };
  return {
    ...libc,
    socket: (...args) => opened(libc.socket(...args)),
    duplicate: (...args) => opened(libc.duplicate(...args)),
    close: (fd) => {
      tell({ kind: 'descriptor', fd, isOpen: false });
      libc.close(fd);
    },
  };
}

/** What one worker has open. */
export class Descriptors {
  readonly #close: (fd: number) => Promise<void>;
  readonly #open = new Set<number>();

  constructor(close: (fd: number) => Promise<void> = promisify(closeFile)) {
    this.#close = close;
  }

  hear({ fd, isOpen }: DescriptorNotice): void {
    if (isOpen) this.#open.add(fd);
    else this.#open.delete(fd);
  }

  /** Once the worker has ended. In the thread pool: the kernel may wait until no packet is under way. Never rejects. */
  async closeAll(): Promise<void> {
    const left = [...this.#open];
    this.#open.clear();
    await Promise.allSettled(left.map((fd) => this.#close(fd)));
  }
}
