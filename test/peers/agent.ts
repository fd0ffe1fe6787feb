/** The agent as a person starts it without a cluster, before upstream servers of the test's choice. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { RunFolder } from '../tools/run-folder.ts';
import { freePort, Program } from './program.ts';

const root = resolve(import.meta.dirname, '../..');

export interface AgentOptions {
  name?: string;
  /** Of the profile. */
  spec?: object;
  /** The program and what stands before its arguments; from source where it is absent. */
  program?: readonly string[];
  /** Where it tells metrics, on loopback; anywhere where it is absent. */
  metricsPort?: number;
  /** Beside ours. */
  env?: Readonly<Record<string, string>>;
}

/** The file of its profile, which it follows. */
function profileFile(folder: RunFolder, name: string): string {
  return join(folder.path, `${name}.json`);
}

/** Puts a profile of this spec in the place of the one that there is, whole. */
export function writeProfile(folder: RunFolder, name: string, spec: object): void {
  const profile = { apiVersion: 'localdns.dev/v1alpha1', kind: 'LocalDnsProfile', metadata: { name: 'default' }, spec };
  const file = profileFile(folder, name);
  writeFileSync(`${file}.new`, JSON.stringify(profile));
  renameSync(`${file}.new`, file);
}

/** Serves at the listener for pods; its cluster DNS and its node's resolver are both at `upstreamPort`. */
export async function startAgent(
  folder: RunFolder,
  upstreamPort: number,
  options: AgentOptions = {},
): Promise<Program> {
  const { name = 'agent', spec = {}, program = [join(root, 'bin/localdns')], env = {} } = options;
  writeProfile(folder, name, spec);
  const state = join(folder.path, `${name}-state`);
  mkdirSync(state, { recursive: true });
  const [command = '', ...before] = program;
  const [port, nodePort, metricsPort] = [await freePort(), await freePort(), options.metricsPort ?? (await freePort())];
  const upstream = `127.0.0.1:${upstreamPort}`;
  const args = [
    ...before,
    ...[
      'agent',
      '--profile',
      profileFile(folder, name),
      '--cluster-dns',
      upstream,
      '--node-dns',
      upstream,
      '--no-datapath',
    ],
    ...['--listen-cluster', `127.0.0.1:${port}`, '--listen-node', `127.0.0.1:${nodePort}`],
    ...['--metrics', `127.0.0.1:${metricsPort}`, '--state-dir', state],
  ];
  return Program.start(folder, { name, command, args, env, port });
}
