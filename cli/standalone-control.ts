/** Entry of the control worker of a stand-alone agent: its configurations come from a profile file. */
import { parentPort, workerData } from 'node:worker_threads';
import { Control } from '../agent/control.ts';
import type { AgentOptions } from '../agent/options.ts';
import { ProfileSource } from './standalone.ts';

const { options, version } = workerData as { options: AgentOptions; version: string };
if (parentPort !== null) {
  const standalone = { ...options, profile: options.profile ?? '' };
  await new Control(parentPort, options, version, (sink) => new ProfileSource(standalone, sink)).start();
}
