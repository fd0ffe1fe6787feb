/** The agent as a person starts it without a cluster, before upstream servers of the test's choice. */
import { mkdirSync, writeFileSync } from 'node:fs';
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
}

/** Serves at the listener for pods; its cluster DNS and its node's resolver are both at `upstreamPort`. */
export async function startAgent(
  folder: RunFolder,
  upstreamPort: number,
  options: AgentOptions = {},
): Promise<Program> {
  const { name = 'agent', spec = {}, program = [join(root, 'bin/localdns')] } = options;
  const profile = { apiVersion: 'localdns.dev/v1alpha1', kind: 'LocalDnsProfile', metadata: { name: 'default' }, spec };
  const file = join(folder.path, `${name}.json`);
  const state = join(folder.path, `${name}-state`);
  writeFileSync(file, JSON.stringify(profile));
  mkdirSync(state, { recursive: true });
  const [command = '', ...before] = program;
  const [port, nodePort, metricsPort] = [await freePort(), await freePort(), await freePort()];
  const upstream = `127.0.0.1:${upstreamPort}`;
  const args = [
    ...before,
    ...['agent', '--profile', file, '--cluster-dns', upstream, '--node-dns', upstream, '--no-datapath'],
    ...['--listen-cluster', `127.0.0.1:${port}`, '--listen-node', `127.0.0.1:${nodePort}`],
    ...['--metrics', `127.0.0.1:${metricsPort}`, '--state-dir', state],
  ];
  return Program.start(folder, { name, command, args, port });
}
