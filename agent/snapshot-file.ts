/** The cache's snapshot on the node's disk: what a restart begins with when no agent is left to ask. */
import { constants } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** What one loop turn gets to read. */
const readLength = 64 * 1024;

/** It tells what the node's pods ask for: nobody else's business. */
const mode = 0o600;

/** To open a pipe waits for its other end, in a thread that the process would wait for when it ends. */
const atOnce = constants.O_NONBLOCK;

export class SnapshotFile {
  readonly path: string;
  readonly #folder: string;

  constructor(stateDir: string) {
    this.#folder = stateDir;
    this.path = join(stateDir, 'cache.snapshot');
  }

  read(): Readable {
    return Readable.from(this.#octets());
  }

  async *#octets(): AsyncGenerator<Buffer, void> {
    const file = await open(this.path, constants.O_RDONLY | atOnce);
    try {
      if (!(await file.stat()).isFile()) throw new Error(`${this.path} is no regular file`);
      yield* file.createReadStream({ highWaterMark: readLength, autoClose: false });
    } finally {
      await file.close();
    }
  }

  /** Whether it was there or not. */
  async remove(): Promise<void> {
    await rm(this.path, { force: true });
  }

  /**
   * Written beside and renamed; a file that lost its octets to a power failure fails its checksums. Frame by frame: each waits
   * for the disk while queries are served. Rejects as the file system does.
   */
  async write(frames: Iterable<Buffer | undefined>): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const beside = `${this.path}.new`;
    try {
      const file = await open(beside, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | atOnce, mode);
      try {
        for (const frame of frames) {
          if (frame === undefined) await nextTurn();
          // A disk that is full takes a part.
          else if ((await file.write(frame)).bytesWritten < frame.length)
            throw new Error(`${beside}: no space is left`);
        }
      } finally {
        await file.close();
      }
      await rename(beside, this.path);
    } catch (error) {
      await rm(beside, { force: true }).catch(() => {});
      throw error;
    }
  }
}
