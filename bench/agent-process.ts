import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { compileCacheOf } from '../bin/compile-cache.ts';

const root = resolve(import.meta.dirname, '..');
const dist = join(root, 'dist');

/** The two forms in which the agent is run: as developers have it, and as the image has it. */
export const variants = {
  'from source': [join(root, 'bin/localdns')],
  bundled: [process.execPath, join(dist, 'localdns.js')],
} as const;
/** What the image says to them. */
const environment = { 'from source': {}, bundled: { NODE_COMPILE_CACHE: compileCacheOf(dist) } };

export type Variant = keyof typeof variants;

/** As the image has it. */
export function bundle(): void {
  execFileSync(process.execPath, [join(root, 'bin/bundle.ts'), dist], { stdio: 'ignore' });
  execFileSync(process.execPath, [join(root, 'bin/compile-cache.ts'), dist], { stdio: 'ignore' });
}

const profile = {
  apiVersion: 'localdns.dev/v1alpha1',
  kind: 'LocalDnsProfile',
  metadata: { name: 'bench' },
  spec: {},
};

/** A stand-alone agent with one listener per map on loopback, all its traces in a folder that goes with it. */
export class AgentProcess {
  readonly port: number;
  readonly startedAtMs: number;
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #serving: Promise<void>;

  private constructor(child: ChildProcess, port: number, folder: string, startedAtMs: number) {
    this.#child = child;
    this.port = port;
    this.#folder = folder;
    this.startedAtMs = startedAtMs;
    this.#serving = serving(child);
    // Whoever does not wait for it must not die of it.
    this.#serving.catch(() => {});
  }

  static async start(variant: Variant, upstream: string): Promise<AgentProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'localdns-bench-'));
    const file = join(folder, 'profile.json');
    writeFileSync(file, JSON.stringify(profile));
    const [cluster, node, metrics] = [await freePort(), await freePort(), await freePort()];
    const [program, ...before] = variants[variant];
    const args = [
      ...before,
      'agent',
      ...['--profile', file, '--cluster-dns', upstream, '--node-dns', upstream],
      ...['--listen-cluster', `127.0.0.1:${cluster}`, '--listen-node', `127.0.0.1:${node}`],
      ...['--metrics', `127.0.0.1:${metrics}`, '--state-dir', join(folder, 'state')],
    ];
    const env = { ...process.env, ...environment[variant] };
    const startedAtMs = performance.now();
    const child = spawn(program, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    return new AgentProcess(child, cluster, folder, startedAtMs);
  }

  /** Resolves with its log line "serving"; rejects where the agent ends before. */
  serving(): Promise<void> {
    return this.#serving;
  }

  hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** VmRSS (now) and VmHWM (the most ever) in MiB, of the process with all its threads. */
  memory(): { rss: number; peak: number } {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    const mebibytes = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
    return { rss: mebibytes('VmRSS'), peak: mebibytes('VmHWM') };
  }

  async stop(): Promise<void> {
    if (!this.hasEnded()) {
      const end = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
      await end;
      clearTimeout(timer);
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function serving(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const told: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        if (told.length < 50) told.push(line);
        if (line.includes('"msg":"serving"')) resolve();
      });
    }
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the agent ended with ${code}:\n${told.join('\n')}`)));
  });
}

/** A port that is free for UDP and TCP. */
async function freePort(): Promise<number> {
  const udp = createSocket('udp4').bind(0, '127.0.0.1');
  await once(udp, 'listening');
  const { port } = udp.address();
  const tcp = createServer();
  try {
    tcp.listen(port, '127.0.0.1');
    await once(tcp, 'listening');
    return port;
  } catch {
    return freePort();
  } finally {
    tcp.close();
    udp.close();
  }
}
