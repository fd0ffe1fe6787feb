import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import type { RunFolder } from '../tools/run-folder.ts';
import type { Answer, Question } from './dns-client.ts';
import type { LoadOptions, LoadResult } from './dns-load.ts';
import type { Duties, Page, PageRequest } from './insider.ts';

/** How a program that was run to its end has ended. */
export interface Outcome {
  stdout: string;
  stderr: string;
  /** The exit code; -1 where a signal ended it. */
  code: number;
}

export interface RunOptions {
  input?: string;
  env?: NodeJS.ProcessEnv;
  timeoutMs?: number;
}

export interface RunningLoad {
  stop(): Promise<LoadResult>;
}

/** A network namespace of the test's own: nothing in it can be reached from outside, nor reach out. */
export class Namespace {
  readonly name: string;
  /** Of programs that start here from now on: 0 is as any other, 19 whatever is left over. */
  niceness = 0;
  readonly #folder: RunFolder;
  /** What nsenter(1) is told to get there. */
  readonly way: readonly string[];
  /** Started when it is first needed: most namespaces of a larger network never are asked for anything. */
  #insider: ChildProcess | undefined;
  readonly #waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  #errands = 0;

  /** @param existing somebody else made it: its name, and the way there */
  constructor(folder: RunFolder, label: string, existing?: readonly string[]) {
    this.#folder = folder;
    mkdirSync(join(folder.path, 'log'), { recursive: true });
    if (existing !== undefined) {
      this.name = label;
      this.way = existing;
      return;
    }
    this.name = folder.addNamespace(label);
    this.way = [`--net=/run/netns/${this.name}`];
    this.ip('link', 'set', 'lo', 'up');
  }

  /** Puts an address on the loopback device: every program in the namespace can listen on it and reach it. */
  addAddress(address: string): void {
    this.ip('address', 'replace', `${address}/${address.includes(':') ? 128 : 32}`, 'dev', 'lo');
  }

  /** Starts a program inside; its process id is its own, since nsenter(1) replaces itself by it. */
  exec(command: string, args: readonly string[] = [], options: SpawnOptions = {}): ChildProcess {
    const child = spawn('nsenter', [...this.way, command, ...args], options);
    const { pid } = child;
    if (pid !== undefined) {
      this.#folder.recordProcess(pid);
      if (this.niceness !== 0) setPriority(pid, this.niceness);
      child.once('exit', () => this.#folder.forgetProcess(pid));
    }
    return child;
  }

  /** Runs a program inside to its end. Never rejects for what the program says or returns. */
  async run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const { input, env = process.env, timeoutMs = 60_000 } = options;
    const child = this.exec(command, args, { env, timeout: timeoutMs, killSignal: 'SIGKILL', stdio: 'pipe' });
    const stdout: string[] = [];
    const stderr: string[] = [];
    child.stdout?.setEncoding('utf8').on('data', (text: string) => stdout.push(text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => stderr.push(text));
    // A program that ends without reading all of its input is no error of ours.
    child.stdin?.on('error', () => undefined).end(input ?? '');
    const [code] = (await once(child, 'close')) as [number | null];
    return { stdout: stdout.join(''), stderr: stderr.join(''), code: code ?? -1 };
  }

  ask(question: Question): Promise<Answer> {
    return this.#send('ask', question);
  }

  page(request: PageRequest): Promise<Page> {
    return this.#send('page', request);
  }

  async startLoad(options: LoadOptions): Promise<RunningLoad> {
    const load = await this.#send('startLoad', options);
    return { stop: () => this.#send('stopLoad', load) };
  }

  async close(): Promise<void> {
    const insider = this.#insider;
    if (!insider?.connected) return;
    insider.ref();
    const gone = once(insider, 'exit');
    insider.disconnect();
    await gone;
  }

  /** ip(8) inside: devices, addresses, routes. Throws when it refuses. */
  ip(...args: string[]): void {
    execFileSync('nsenter', [...this.way, 'ip', ...args], { stdio: ['ignore', 'ignore', 'pipe'], timeout: 10_000 });
  }

  #startInsider(): ChildProcess {
    const log = openSync(join(this.#folder.path, 'log', 'insider.log'), 'a');
    const insider = this.exec(process.execPath, [join(import.meta.dirname, 'insider.ts')], {
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    insider.on('message', ({ number, result, error }: { number: number; result?: unknown; error?: string }) => {
      const waiting = this.#waiting.get(number);
      this.#waiting.delete(number);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    });
    insider.once('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the process inside the namespace has ended'));
      this.#waiting.clear();
    });
    // It must not keep a test file alive that has forgotten to stop its cluster.
    insider.unref();
    insider.channel?.unref();
    return insider;
  }

  #send<D extends keyof Duties>(duty: D, argument: Parameters<Duties[D]>[0]): Promise<Awaited<ReturnType<Duties[D]>>> {
    const number = this.#errands++;
    this.#insider ??= this.#startInsider();
    const insider = this.#insider;
    return new Promise((resolve, reject) => {
      const keepAlive = setInterval(() => undefined, 60_000);
      const settle = () => clearInterval(keepAlive);
      this.#waiting.set(number, {
        resolve: (result) => {
          settle();
          resolve(result as Awaited<ReturnType<Duties[D]>>);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      });
      insider.send({ number, duty, argument }, (error) => {
        if (error !== null) this.#waiting.get(number)?.reject(error);
      });
    });
  }
}
