/** The control worker of a stand-alone agent that dies of a bug as soon as a file named `crash` lies beside the profile. */
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { workerData } from 'node:worker_threads';
import './standalone-control.ts';

const trap = join(dirname(workerData.options.profile), 'crash');

setInterval(() => {
  if (!existsSync(trap)) return;
  rmSync(trap);
  throw new Error('a bug in the control worker');
}, 20);
