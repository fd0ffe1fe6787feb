/** A CoreDNS on loopback, and what it looks like from outside: memory, processor time, connections. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../test/tools/eventually.ts';
import { toolPath } from '../test/tools/find.ts';

const established = '01';
/** Linux: what the kernel counts processor time in, in all configurations that are built. */
const ticksPerSecond = 100;

export class CoreDns {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, port: number, folder: string) {
    this.#child = child;
    this.port = port;
    this.#folder = folder;
  }

  /** @param zones by name, what a Corefile says of them */
  static async start(port: number, zones: Record<string, string>, isUp: () => Promise<boolean>): Promise<CoreDns> {
    const folder = mkdtempSync(join(tmpdir(), 'localdns-bench-'));
    const path = join(folder, 'Corefile');
    const blocks = Object.entries(zones).map(([zone, body]) => `${zone}:${port} {\n  bind 127.0.0.1\n  ${body}\n}`);
    writeFileSync(path, blocks.join('\n'));
    const child = spawn(toolPath('coredns'), ['-conf', path, '-quiet'], { stdio: 'ignore' });
    const server = new CoreDns(child, port, folder);
    try {
      await eventually('CoreDNS answers', 20_000, isUp);
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** VmRSS in MiB. */
  get memory(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
  }

  /** Processor time so far, in ms. */
  get processorMs(): number {
    const stat = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8');
    // Behind the name in parentheses: state is field 3, user and system time are 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond;
  }

  /** As the kernel has them, at this end. */
  get connections(): number {
    const port = this.port.toString(16).toUpperCase().padStart(4, '0');
    const lines = readFileSync('/proc/net/tcp', 'utf8').trim().split('\n').slice(1);
    return lines.filter((line) => {
      const [, local, , state] = line.trim().split(/\s+/);
      return state === established && local?.endsWith(`:${port}`);
    }).length;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const end = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      await end;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
