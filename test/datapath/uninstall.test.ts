/** What `kubectl delete ldp --all` and `helm uninstall` after it leave on a node: nothing. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { eventually } from '../tools/eventually.ts';
import { nodeState } from './node-state.ts';
import { ServedLab } from './served-lab.ts';

let served: ServedLab;

before(async () => {
  served = await ServedLab.start('nftables');
});

after(() => served?.stop());

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(served?.lastWords);
});

test('an agent that is told to end while it still takes its rules away takes them all away', async () => {
  assert.notDeepEqual(await ours(), []);
  await served.lab.label(undefined);
  await eventually('the LocalDnsNode is gone', 5_000, async () => (await served.node()) === undefined);
  // The label that the DaemonSet selects on goes with it, and so the pod.
  await served.agent.stop();
  assert.deepEqual(await ours(), []);
});

/** The first words of each thing of ours in the kernel. */
async function ours(): Promise<string[]> {
  const things = Object.values(await nodeState(served.lab.node)).flat();
  return things.flatMap((text) => (/localdns|(lookup|table) 153/.test(text) ? [text.slice(0, 80)] : []));
}
