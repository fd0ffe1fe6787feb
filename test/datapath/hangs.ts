/** One thread of the agent hangs while the other goes on: nobody kills it, and it says nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { pause } from '../cluster/scene.ts';
import { eventually } from '../tools/eventually.ts';
import { lapsedMs } from './goals.ts';
import { inspectorPort } from './hang.ts';
import { serviceAddresses } from './lab.ts';
import type { Moments } from './ordeal.ts';
import { answeredByAgent } from './served-lab.ts';
import type { Trial } from './trial.ts';

const hungMs = 2_500;
/** See agent/main.ts. */
const workerRestartMs = 1_000;
/** From the end of a worker on, until what the next one has put into the kernel leads queries to the agent. */
const backMs = 10_000;

/** The process comes back to itself after {@link hungMs}; in the middle of it, whether it still intercepts is looked at. */
export async function hang(trial: Trial, thread: 'main' | 'worker'): Promise<Moments> {
  const { atMs, ended } = await inspect(trial, thread, String(hungMs));
  await pause(lapsedMs);
  const [pod] = trial.lab.pods;
  assert.ok(pod);
  assert.equal(await answeredByAgent(pod, serviceAddresses.v4), false, 'queries go to cluster DNS');
  const [code] = await ended;
  assert.equal(code, 0);
  return { atMs };
}

/** Its process lives on, and has another one in the end: until then queries go to cluster DNS. */
export async function endWorker(trial: Trial): Promise<Moments> {
  const { atMs } = await inspect(trial, 'worker', 'exit');
  const [pod] = trial.lab.pods;
  assert.ok(pod);
  const isAgent = () => answeredByAgent(pod, serviceAddresses.v4);
  await eventually('queries go to cluster DNS', workerRestartMs, async () => !(await isAgent()));
  await eventually('queries go to the agent again', backMs, isAgent);
  return { atMs };
}

async function inspect(trial: Trial, thread: 'main' | 'worker', what: string) {
  const script = join(import.meta.dirname, 'hang.ts');
  const child = trial.lab.node.exec(process.execPath, [script, thread, what], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  assert.ok(child.stdout);
  await once(child.stdout, 'data');
  return { atMs: Date.now(), ended };
}

export function servingWithInspector(trial: Trial): Promise<void> {
  return trial.servingAnew({ env: { NODE_OPTIONS: `--inspect=127.0.0.1:${inspectorPort}` } });
}
