/** One thread of the agent hangs while the other goes on: nobody kills it, and it says nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { pause } from '../cluster/scene.ts';
import { fast, fastAfter, lapsedMs, lostAtMost, lostOnlyUntilLapsed, rightAnswers, untracked } from './goals.ts';
import { inspectorPort } from './hang.ts';
import { serviceAddresses } from './lab.ts';
import type { Moments } from './ordeal.ts';
import { answeredByAgent, bothKinds } from './served-lab.ts';
import { inEachMode, type Trial } from './trial.ts';

const hungMs = 4_000;

/** The process comes back to itself after {@link hungMs}; in the middle of it, whether it still intercepts is looked at. */
async function hang(trial: Trial, thread: 'main' | 'worker'): Promise<Moments> {
  const script = join(import.meta.dirname, 'hang.ts');
  const child = trial.lab.node.exec(process.execPath, [script, thread, String(hungMs)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  assert.ok(child.stdout);
  await once(child.stdout, 'data');
  const atMs = Date.now();
  await pause(lapsedMs);
  const [pod] = trial.lab.pods;
  assert.ok(pod);
  assert.equal(await answeredByAgent(pod, serviceAddresses.v4), false, 'queries go to cluster DNS');
  const [code] = await ended;
  assert.equal(code, 0);
  return { atMs };
}

async function servingWithInspector(trial: Trial): Promise<void> {
  if (trial.agent.isRunning) await trial.agent.stop();
  trial.served.startAgent({ env: { NODE_OPTIONS: `--inspect=127.0.0.1:${inspectorPort}` } });
  await trial.served.untilIntercepted();
}

inEachMode((trial) => {
  test('the thread that serves hangs: queries are lost until interception has ended by itself, and not after', async () => {
    await servingWithInspector(trial);
    const goals = [lostOnlyUntilLapsed, fastAfter(lapsedMs), untracked, rightAnswers];
    await trial.ordeal('serving thread hangs for 4 s', goals, () => hang(trial, 'main'));
    await trial.served.untilIntercepted();
  });

  test('the control worker hangs: interception ends by itself, and datagrams do not notice', async () => {
    await servingWithInspector(trial);
    // Connections end as well, each of them with at most one query under way: one to each server from each pod.
    const goals = [lostAtMost(bothKinds.length * trial.lab.pods.length), fast, untracked, rightAnswers];
    await trial.ordeal('control worker hangs for 4 s', goals, () => hang(trial, 'worker'));
    await trial.served.untilIntercepted();
  });
});
