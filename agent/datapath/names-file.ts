/**
 * Under which names rules of this node stand, in the state folder: an agent that is given other names finds there what one before
 * it has left in the kernel, and `localdns cleanup` too. Written before the first thing is put under a name.
 */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DatapathNames, parseDatapathNames } from './names.ts';

export interface Standing {
  readonly names: DatapathNames;
  /** Of the agents that put something there, as their tables are called: two names may have one table's. */
  readonly starts: readonly number[];
}

export class NamesFile {
  readonly #folder: string;
  readonly #path: string;

  constructor(stateDir: string) {
    this.#folder = stateDir;
    this.#path = join(stateDir, 'names.json');
  }

  /** Nothing where there is no file, or one that cannot be understood; rejects as the file system does. */
  async read(): Promise<Standing[]> {
    try {
      const found: unknown = JSON.parse(await readFile(this.#path, 'utf8'));
      return Array.isArray(found) ? found.flatMap((each) => standingOf(each) ?? []) : [];
    } catch (error) {
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  /** Beside and renamed, so that a crash leaves either the old file or the new one; rejects as the file system does. */
  async write(standing: readonly Standing[]): Promise<void> {
    if (standing.length === 0) {
      await rm(this.#path, { force: true });
      return;
    }
    await mkdir(this.#folder, { recursive: true });
    await writeFile(`${this.#path}.new`, JSON.stringify(standing));
    await rename(`${this.#path}.new`, this.#path);
  }
}

/** By the same rules as options: what is in the file is removed from the kernel. */
function standingOf(found: unknown): Standing | undefined {
  const { names, starts } = (found ?? {}) as { names?: Partial<DatapathNames>; starts?: unknown };
  const { table, marks, routeTable, rulePriority } = names ?? {};
  const parsed = parseDatapathNames({
    'nft-table': String(table),
    'mark-intercept': String(marks?.intercept),
    'mark-own': String(marks?.own),
    'mark-gate': String(marks?.gate),
    'route-table': String(routeTable),
    'rule-priority': String(rulePriority),
  });
  if ('error' in parsed || !Array.isArray(starts)) return undefined;
  return { names: parsed.names, starts: starts.filter((start) => Number.isInteger(start) && start >= 0) };
}
