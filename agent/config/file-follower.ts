import { readFile, stat } from 'node:fs/promises';

const intervalMs = 250;

/**
 * Follows the contents of a file by looking at it: edits in place, renames over it and links that are turned elsewhere (as
 * Kubernetes does with mounted ConfigMaps) are all noticed, on every kind of file system.
 */
export class FileFollower {
  readonly #path: string;
  readonly #onContents: (contents: string | undefined) => void;
  #timer: NodeJS.Timeout | undefined;
  #seen: string | undefined;
  #contents: string | undefined;
  #stopped = false;

  /** @param onContents called with the contents at first and after each change; undefined while the file cannot be read */
  constructor(path: string, onContents: (contents: string | undefined) => void) {
    this.#path = path;
    this.#onContents = onContents;
  }

  /** Resolves after the first look. */
  async start(): Promise<void> {
    this.#contents = await this.#read();
    this.#onContents(this.#contents);
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#look(), intervalMs);
  }

  async #look(): Promise<void> {
    const contents = await this.#read();
    if (this.#stopped) return;
    if (contents !== this.#contents) {
      this.#contents = contents;
      this.#onContents(contents);
    }
    this.#schedule();
  }

  /** Reads only what looks different from before. */
  async #read(): Promise<string | undefined> {
    try {
      const { ino, size, mtimeMs, ctimeMs } = await stat(this.#path);
      const seen = `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
      if (seen === this.#seen) return this.#contents;
      const contents = await readFile(this.#path, 'utf8');
      this.#seen = seen;
      return contents;
    } catch {
      this.#seen = undefined;
      return undefined;
    }
  }
}
