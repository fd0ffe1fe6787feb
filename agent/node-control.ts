/** Entry of the control worker in a cluster. */
import { parentPort, workerData } from 'node:worker_threads';
import { NodeSource } from './config/node-source.ts';
import { Control } from './control.ts';
import type { AgentOptions } from './options.ts';

const { options, version } = workerData as { options: AgentOptions; version: string };
if (parentPort !== null) {
  await new Control(parentPort, options, version, (sink) => new NodeSource(options, version, sink)).start();
}
