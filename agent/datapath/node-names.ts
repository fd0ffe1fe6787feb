/**
 * The names under which this agent works. Its own queries are known to rules by a mark: those of an agent with other marks would
 * take them for a client's, and send them round. So it works under the names of an agent that lives beside it, until that has
 * ended; then under those that it was given, and what stood under the others goes.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../clock.ts';
import { isLibc, loadLibc } from '../libc.ts';
import type { Log } from '../log.ts';
import type { DatapathNames } from './names.ts';
import { NamesFile, type Standing } from './names-file.ts';
import { StandingRules } from './standing-rules.ts';

/** Where tables have no owner that of a dead agent looks like that of one that lives; longer than a kubelet lets one end. */
const unownedMs = 60_000;

export interface NodeNamesParts {
  given: DatapathNames;
  /** Undefined: nothing is kept, and nobody else's names are known. */
  file: Pick<NamesFile, 'read' | 'write'> | undefined;
  rules: Pick<StandingRules, 'living' | 'remove'> | undefined;
  /** Drawn at the agent's start, to tell its tables from others'. */
  startKey: Buffer;
  clock: Clock;
  log: Pick<Log, 'warn' | 'info'>;
}

/** @param stateDir undefined: nothing is kept */
export function nodeNames(
  stateDir: string | undefined,
  around: Pick<NodeNamesParts, 'given' | 'startKey' | 'clock' | 'log'>,
): NodeNames {
  const libc = loadLibc();
  return new NodeNames({
    ...around,
    file: stateDir === undefined ? undefined : new NamesFile(stateDir),
    rules: isLibc(libc) ? new StandingRules(libc) : undefined,
  });
}

export class NodeNames {
  readonly given: DatapathNames;
  readonly #parts: NodeNamesParts;
  #standing: readonly Standing[] = [];
  #unownedSinceMs: number | undefined;

  constructor(parts: NodeNamesParts) {
    this.given = parts.given;
    this.#parts = parts;
  }

  /** Of the tables of this agent: where names change and the table's stays, there are two for a moment. */
  startId(names: DatapathNames): number {
    return this.#parts.startKey.readUInt32BE(isDeepStrictEqual(names, this.given) ? 0 : 4);
  }

  /** Names under which something stands, as last read, but for these. */
  othersThan(names: DatapathNames | undefined): DatapathNames[] {
    return this.#standing.map((each) => each.names).filter((each) => !isDeepStrictEqual(each, names));
  }

  /** Those to work under from now on; never rejects. */
  async choose(): Promise<DatapathNames> {
    await this.#read();
    const lived = this.#standing.filter((each) => this.#isLived(each)).map(({ names }) => names);
    return lived.find((names) => isDeepStrictEqual(names, this.given)) ?? lived[0] ?? this.given;
  }

  /** Before anything is put under them; never rejects. */
  async note(names: DatapathNames): Promise<void> {
    await this.#read();
    const starts = (standing: Standing) => this.#living(standing).starts;
    const known = this.#standing.find((each) => isDeepStrictEqual(each.names, names));
    if (known?.starts.includes(this.startId(names))) return;
    const noted = { names, starts: [...(known ? starts(known) : []), this.startId(names)] };
    await this.#write([noted, ...this.#standing.filter((each) => each !== known)]);
  }

  /** What stands under other names goes where nobody lives under them any more; never rejects. */
  async removeOthers(kept: DatapathNames | undefined): Promise<void> {
    await this.#read();
    const left = this.#standing.filter((each) => !isDeepStrictEqual(each.names, kept) && !this.#isLived(each));
    const staying = this.#standing.filter((each) => !left.includes(each)).map(({ names }) => names);
    const removed = left.filter((each) => this.#remove(each, staying));
    if (removed.length > 0) await this.#write(this.#standing.filter((each) => !removed.includes(each)));
  }

  #remove(standing: Standing, staying: readonly DatapathNames[]): boolean {
    const { rules, log } = this.#parts;
    const { names } = standing;
    try {
      rules?.remove(standing, staying);
      if (staying.length > 0) log.info({ names }, 'rules under names of before are removed');
      return true;
    } catch (error) {
      log.warn({ names, error: (error as Error).message }, 'rules under names of before stay: trying again');
      return false;
    }
  }

  #isLived(standing: Standing): boolean {
    const { clock } = this.#parts;
    const own = this.startId(standing.names);
    const others = { ...standing, starts: standing.starts.filter((start) => start !== own) };
    const { starts, owned } = this.#living(others);
    if (starts.length === 0) return false;
    if (owned) return true;
    this.#unownedSinceMs ??= clock.nowMs();
    return clock.nowMs() - this.#unownedSinceMs < unownedMs;
  }

  /** Whoever may not look at tables cannot change them either. */
  #living(standing: Standing): ReturnType<StandingRules['living']> {
    try {
      return this.#parts.rules?.living(standing) ?? { starts: [], owned: false };
    } catch {
      return { starts: [], owned: false };
    }
  }

  /** What is known stays known where it cannot be read. */
  async #read(): Promise<void> {
    try {
      this.#standing = (await this.#parts.file?.read()) ?? [];
    } catch (error) {
      this.#complain(error);
    }
  }

  async #write(standing: readonly Standing[]): Promise<void> {
    this.#standing = standing;
    try {
      await this.#parts.file?.write(standing);
    } catch (error) {
      this.#complain(error);
    }
  }

  #complain(error: unknown): void {
    const trouble = 'the names of rules cannot be kept: where they change, those of before may be left';
    this.#parts.log.warn({ error: (error as Error).message }, trouble);
  }
}
