/** The last configuration that was in force, on the node's disk: the agent starts from it without the API server. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type NodeConfig, parseNodeConfig } from '../../api/v1alpha1/node-config.ts';

export interface LastGood {
  profile: string;
  revision: string;
  config: NodeConfig;
  /** Ready endpoints of cluster DNS as last known, `ip:port` each. */
  clusterDns: string[];
}

export class LastGoodFile {
  readonly #folder: string;
  readonly #path: string;
  /** Writes happen one after the other, so that the last one wins. */
  #writing: Promise<void> = Promise.resolve();

  constructor(stateDir: string) {
    this.#folder = stateDir;
    this.#path = join(stateDir, 'last-good.json');
  }

  /** Undefined where there is none; a sentence where it cannot be used. */
  async read(): Promise<{ lastGood?: LastGood; trouble?: string }> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      return missing ? {} : { trouble: (error as Error).message };
    }
    try {
      const { profile, revision, config, clusterDns } = JSON.parse(text) as LastGood;
      const parsed = parseNodeConfig(config);
      if ('error' in parsed) return { trouble: `${this.#path}: ${parsed.error}` };
      return { lastGood: { profile, revision, config: parsed.config, clusterDns: [...clusterDns] } };
    } catch (error) {
      return { trouble: `${this.#path}: ${(error as Error).message}` };
    }
  }

  /** Written beside and renamed, so that a crash leaves either the old file or the new one. Rejects as the file system does. */
  write(lastGood: LastGood | undefined): Promise<void> {
    const write = async () => {
      if (lastGood === undefined) {
        await rm(this.#path, { force: true });
        return;
      }
      await mkdir(this.#folder, { recursive: true });
      await writeFile(`${this.#path}.new`, JSON.stringify(lastGood));
      await rename(`${this.#path}.new`, this.#path);
    };
    this.#writing = this.#writing.then(write, write);
    return this.#writing;
  }
}
