/**
 * A Unix socket in the state folder on which an agent that serves gives its cache to the one that comes after it. Whoever
 * connects gets the snapshot and then the end; nothing is read. The newest agent owns the path.
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, rename, rm, stat } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Only who may read the memory of this process may have its cache. */
const mode = 0o600;

/** unix(7): sun_path has 108 octets, the last of them 0. */
const maxPathLength = 107;

/** Agents that are given the cache at the same time; there is one, unless something is wrong. */
const maxConnections = 2;

/** A successor that takes nothing for so long is gone. */
const stallMs = 2_000;

export class HandOverSocket {
  readonly path: string;
  readonly #folder: string;
  #server: Server | undefined;
  /** Device and inode of the socket file that this process made. */
  #own: string | undefined;
  readonly #open = new Set<Socket>();

  constructor(stateDir: string) {
    this.#folder = stateDir;
    this.path = join(stateDir, 'hand-over.sock');
  }

  /** To the agent that owns the path; fails as the system does, with ENOENT or ECONNREFUSED where there is none. */
  connect(): Socket | undefined {
    return this.#isPathPossible ? connect({ path: this.path }) : undefined;
  }

  /**
   * Takes the path, from a living owner too. The socket is made beside and renamed when it has its mode: nobody meets one that
   * others may use, nor a moment without one. Rejects as the system does.
   * @param frames called for each successor
   * @param failed told of bugs
   */
  async listen(frames: () => Iterable<Buffer | undefined>, failed: (error: unknown) => void): Promise<void> {
    const beside = join(this.#folder, `.${randomBytes(4).toString('hex')}`);
    if (!this.#isPathPossible) {
      throw new Error(`${this.path} is longer than a socket's path may be (${maxPathLength} octets)`);
    }
    await mkdir(this.#folder, { recursive: true });
    const server = createServer((socket) => {
      this.#give(socket, frames).catch((error) => {
        socket.destroy();
        failed(error);
      });
    });
    server.maxConnections = maxConnections;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(beside, resolve);
    });
    try {
      await chmod(beside, mode);
      this.#own = identityOf(await stat(beside));
      await rename(beside, this.path);
    } catch (error) {
      this.#own = undefined;
      server.close();
      throw error;
    }
    server.on('error', () => {});
    // Serving keeps the process alive, not this.
    server.unref();
    this.#server = server;
  }

  /** False once another agent has taken the path: the state folder is that one's business now. */
  async isOwner(): Promise<boolean> {
    try {
      return identityOf(await stat(this.path)) === this.#own;
    } catch {
      return true;
    }
  }

  /** Gives nothing any more; the path goes if it is still ours. */
  async close(): Promise<void> {
    this.#server?.close();
    this.#server = undefined;
    for (const socket of this.#open) socket.destroy();
    if (this.#own !== undefined && (await this.isOwner())) await rm(this.path, { force: true }).catch(() => {});
  }

  get #isPathPossible(): boolean {
    return Buffer.byteLength(this.path) <= maxPathLength;
  }

  async #give(socket: Socket, frames: () => Iterable<Buffer | undefined>): Promise<void> {
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    // A successor that breaks off has its reasons; it will say them itself.
    socket.on('error', () => {});
    socket.setTimeout(stallMs, () => socket.destroy());
    for (const frame of frames()) {
      if (socket.destroyed) return;
      if (frame !== undefined && !(await isWritten(socket, frame))) return;
      // A write that the kernel takes at once ends in the same turn of the loop, and queries wait.
      await nextTurn();
    }
    socket.end();
  }
}

function identityOf({ dev, ino }: { dev: number; ino: number }): string {
  return `${dev}:${ino}`;
}

/** Resolves when the kernel has taken the frame, whose buffer is used again; false where there is nobody any more. */
function isWritten(socket: Socket, frame: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    socket.write(frame, (error) => resolve(!error));
  });
}
