/** Entry of the control worker in a cluster. */
import { parentPort, workerData } from 'node:worker_threads';
import { NodeSource } from './config/node-source.ts';
import { Control, type ControlData } from './control.ts';

const data = workerData as ControlData;
const { options, version } = data;
if (parentPort !== null) {
  await new Control(parentPort, data, (sink) => new NodeSource(options, version, sink)).start();
}
