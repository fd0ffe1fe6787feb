/** Entry of the control worker of a stand-alone agent: its configurations come from a profile file. */
import { parentPort, workerData } from 'node:worker_threads';
import { Control, type ControlData } from '../agent/control.ts';
import { ProfileSource } from './standalone.ts';

const data = workerData as ControlData;
const { options } = data;
if (parentPort !== null) {
  const standalone = { ...options, profile: options.profile ?? '' };
  await new Control(parentPort, data, (sink) => new ProfileSource(standalone, sink)).start();
}
