/**
 * `compile-cache.ts PROGRAM`: puts into the folder of the bundle what V8 makes of its files, so that an agent starts without compiling them.
 *
 * Node finds it by NODE_COMPILE_CACHE. It fits the same Node, flags that compile the same way, the user who made it, and files of the same
 * paths and contents; where it does not fit, the agent compiles as ever.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const anyPort = '127.0.0.1:0';
const limitMs = 60_000;
const profile = { apiVersion: 'localdns.dev/v1alpha1', kind: 'LocalDnsProfile', metadata: { name: 'start' }, spec: {} };

interface Line {
  msg: string;
  listening?: { name: string; port: number }[];
}

/** The folder, in that of the bundle. */
export function compileCacheOf(program: string): string {
  return join(program, 'compile-cache');
}

/** Functions are compiled as they are first called: so the agent is started as stand-alone and as on a node, and answers. */
export async function compileAhead(program: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'localdns-compile-'));
  const cache = compileCacheOf(program);
  rmSync(cache, { recursive: true, force: true });
  const env = { ...process.env, NODE_COMPILE_CACHE: cache };
  const localdns = (...args: string[]) => [join(program, 'localdns.js'), ...args];
  const agent = (...args: string[]) => {
    const usual = ['--metrics', anyPort, '--state-dir', join(folder, 'state'), '--no-datapath'];
    const command = localdns('agent', ...usual, ...args);
    return spawn(process.execPath, command, { env, stdio: ['ignore', 'pipe', 'ignore'], timeout: limitMs });
  };
  const profileFile = join(folder, 'profile.json');
  const kubeconfig = join(folder, 'kubeconfig.json');
  writeFileSync(profileFile, JSON.stringify(profile));
  writeFileSync(kubeconfig, JSON.stringify(unreachableCluster));
  try {
    const standAlone = ['--profile', profileFile, '--cluster-dns', 'embedded', '--node-dns', '127.0.0.1'];
    const listen = ['--listen-cluster', anyPort, '--listen-node', anyPort];
    await untilSaid(agent(...standAlone, ...listen), 'serving', async ({ listening = [] }) => {
      const port = listening.find(({ name }) => name === 'cluster')?.port;
      const query = localdns('query', 'kubernetes.default.svc.cluster.local', '--server', `127.0.0.1:${port}`);
      for (const transport of [[], ['--tcp']]) {
        await promisify(execFile)(process.execPath, [...query, ...transport], { timeout: limitMs });
      }
    });
    const onNode = ['--node-name', 'start', '--kubeconfig', kubeconfig, '--node-dns', '127.0.0.1'];
    await untilSaid(agent(...onNode), 'metrics and health', async () => {});
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const unreachableCluster = {
  clusters: [{ name: 'none', cluster: { server: 'http://127.0.0.1:1' } }],
  contexts: [{ name: 'none', context: { cluster: 'none', user: 'none' } }],
  'current-context': 'none',
  users: [{ name: 'none', user: {} }],
};

/** Once the agent has said so, and `then` is done, it is told to end: Node writes what was compiled at the end of a process. */
async function untilSaid(agent: ChildProcess, msg: string, then: (line: Line) => Promise<void>): Promise<void> {
  const end = once(agent, 'exit');
  let said = false;
  try {
    for await (const text of createInterface({ input: agent.stdout as NodeJS.ReadableStream })) {
      const line = JSON.parse(text) as Line;
      if (line.msg !== msg) continue;
      said = true;
      await then(line);
      agent.kill('SIGTERM');
    }
  } finally {
    agent.kill('SIGTERM');
  }
  const [code] = await end;
  if (!said || code !== 0) throw new Error(`an agent ended with ${code} ${said ? 'after' : 'before'} it said "${msg}"`);
}

if (import.meta.main) await compileAhead(resolve(process.argv[2] ?? ''));
