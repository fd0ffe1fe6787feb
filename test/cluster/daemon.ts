import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunFolder } from '../tools/run-folder.ts';
import type { Namespace } from './namespace.ts';

export interface DaemonOptions {
  name: string;
  command: string;
  args: readonly string[];
  env?: NodeJS.ProcessEnv;
}

/** A program that runs in a namespace until it is stopped, with its output in a file of the run folder. */
export class Daemon {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #logPath: string;
  readonly #logFrom: number;

  constructor(folder: RunFolder, namespace: Namespace, { name, command, args, env }: DaemonOptions) {
    this.name = name;
    this.#logPath = join(folder.path, 'log', `${name}.log`);
    // Appended to: after a restart, what was said before the end is the interesting part.
    const log = openSync(this.#logPath, 'a');
    this.#logFrom = readFileSync(this.#logPath).length;
    this.#child = namespace.exec(command, args, {
      stdio: ['ignore', log, log],
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
    });
    closeSync(log);
    this.#child.unref();
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.name} could not be started`);
    return this.#child.pid;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** How it ended: an exit code, or the name of the signal; undefined while it runs. */
  get ending(): number | string | undefined {
    return this.#child.exitCode ?? this.#child.signalCode ?? undefined;
  }

  /** What it has written since this start. */
  get log(): string {
    return readFileSync(this.#logPath).subarray(this.#logFrom).toString('utf8');
  }

  /** For messages about a program that ended or never came up. */
  get lastWords(): string {
    return `${this.name}: ${this.log.trimEnd().split('\n').slice(-25).join('\n  ')}`;
  }

  assertRunning(): void {
    if (!this.isRunning) throw new Error(`ended with ${this.ending}; ${this.lastWords}`);
  }

  /** Sends it a signal and does not wait; for SIGSTOP, SIGCONT, and a kill whose moment counts. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Resolves when it has ended, for whatever reason. */
  async ended(): Promise<void> {
    if (this.isRunning) await once(this.#child, 'exit');
  }

  /** Asks it to end, and kills it when it does not in time. Returns how it ended. */
  async stop(withinMs = 10_000): Promise<number | string | undefined> {
    return this.#end('SIGTERM', withinMs);
  }

  /** As the kernel does when memory runs out: at once, without a chance to say anything. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL', 10_000);
  }

  async #end(signal: NodeJS.Signals, withinMs: number): Promise<number | string | undefined> {
    if (this.isRunning) {
      this.#child.ref();
      const gone = once(this.#child, 'exit');
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), withinMs);
      this.#child.kill(signal);
      await gone;
      clearTimeout(timer);
    }
    return this.ending;
  }
}
