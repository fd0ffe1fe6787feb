/** What `kubectl delete ldp --all` and `helm uninstall` after it leave on a node: nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../tools/eventually.ts';
import { nodeState } from './node-state.ts';
import { inEachMode } from './trial.ts';

inEachMode((trial) => {
  test('an agent that is told to end while it still takes its rules away takes them all away', async () => {
    assert.notDeepEqual(await ours(), []);
    await trial.lab.label(undefined);
    await eventually('the LocalDnsNode is gone', 5_000, async () => (await trial.served.node()) === undefined);
    // The label that the DaemonSet selects on goes with it, and so the pod.
    await trial.agent.stop();
    assert.deepEqual(await ours(), []);
  });

  /** The first words of each thing of ours in the kernel. */
  async function ours(): Promise<string[]> {
    const things = Object.values(await nodeState(trial.lab.node)).flat();
    return things.flatMap((text) => (/localdns|(lookup|table) 153/.test(text) ? [text.slice(0, 80)] : []));
  }
});
