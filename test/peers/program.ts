/** A DNS server that runs as a process of the test's own, on one port of the loopback, and what it costs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { query } from '../fake/octets.ts';
import { eventually } from '../tools/eventually.ts';
import type { RunFolder } from '../tools/run-folder.ts';

export interface ProgramOptions {
  name: string;
  command: string;
  args: readonly string[];
  /** Beside ours. */
  env?: Readonly<Record<string, string>>;
  port: number;
  /** Asked until there is any answer: then it serves. */
  asks?: string;
}

/** USER_HZ, the unit of proc(5): 100 on every Linux that people run. */
const tickMs = 10;

export class Program {
  readonly name: string;
  readonly port: number;
  /** With which it was started: its own environment, the program, and what stands behind that. */
  readonly env: Readonly<Record<string, string>>;
  readonly command: string;
  readonly args: readonly string[];
  readonly #child: ChildProcess;
  readonly #log: string;

  private constructor(folder: RunFolder, { name, command, args, port, env: own = {} }: ProgramOptions) {
    this.name = name;
    this.port = port;
    this.env = own;
    this.command = command;
    this.args = args;
    this.#log = join(folder.path, `${name}.log`);
    const log = openSync(this.#log, 'w');
    const env = { ...process.env, NODE_TEST_CONTEXT: undefined, ...own };
    this.#child = spawn(command, args, { cwd: folder.path, env, stdio: ['ignore', log, log] });
    closeSync(log);
    const { pid } = this.#child;
    if (pid === undefined) return;
    folder.recordProcess(pid);
    this.#child.once('exit', () => folder.forgetProcess(pid));
  }

  static async start(folder: RunFolder, options: ProgramOptions): Promise<Program> {
    const program = new Program(folder, options);
    try {
      await program.#serves(options.asks ?? 'localhost');
    } catch (error) {
      await program.stop();
      throw error;
    }
    return program;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** User and system time of all its threads since its start. */
  cpuMs(): number {
    // proc(5): the second field is the name in parentheses, which may hold anything.
    const stat = readFileSync(`/proc/${this.#child.pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * tickMs;
  }

  /** What of it is in memory, in MiB. */
  residentMebibytes(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
  }

  get lastWords(): string {
    return `${this.name}: ${readFileSync(this.#log, 'utf8').trimEnd().split('\n').slice(-20).join('\n  ')}`;
  }

  async stop(): Promise<void> {
    if (this.#hasEnded) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    await gone;
    clearTimeout(timer);
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async #serves(name: string): Promise<void> {
    const socket = createSocket('udp4');
    let answered = false;
    socket.on('message', () => {
      answered = true;
    });
    // While nobody listens there, the kernel says so.
    socket.on('error', () => {});
    try {
      await eventually(`${this.name} answers`, 15_000, () => {
        if (this.#hasEnded) throw new Error(`it has ended; ${this.lastWords}`);
        if (!answered) socket.send(query(name), this.port, '127.0.0.1');
        return answered;
      });
    } finally {
      socket.close();
    }
  }
}

/** A port of the loopback that is free for UDP and TCP. */
export async function freePort(): Promise<number> {
  for (;;) {
    const udp = createSocket('udp4').bind(0, '127.0.0.1');
    await once(udp, 'listening');
    const { port } = udp.address();
    const tcp = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      tcp.once('error', () => resolve(false));
      tcp.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (isFree) await new Promise((resolve) => tcp.close(resolve));
    await new Promise<void>((resolve) => udp.close(() => resolve()));
    if (isFree) return port;
  }
}
