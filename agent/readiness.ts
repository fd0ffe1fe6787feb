import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** A file that exists while the agent serves: what a readiness probe of the pod looks at, without a port to declare. */
export class ReadyFile {
  readonly #path: string | undefined;
  #exists = false;

  /** One that an earlier run left behind is removed. */
  constructor(path: string | undefined) {
    this.#path = path;
    if (path !== undefined) rmSync(path, { force: true });
  }

  set(ready: boolean): void {
    if (this.#path === undefined || ready === this.#exists) return;
    this.#exists = ready;
    if (ready) {
      mkdirSync(dirname(this.#path), { recursive: true });
      writeFileSync(this.#path, '');
    } else rmSync(this.#path, { force: true });
  }
}
