/** What is left of the agent when it goes: nothing, and nothing that was there before is missing. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../tools/eventually.ts';
import { lostOnlyCrossing, lostOnlyWhatWasHeld, rightAnswers, untracked } from './goals.ts';
import { serviceAddresses } from './lab.ts';
import { type NodeState, nodeState } from './node-state.ts';
import { bothKindsAndFamilies } from './served-lab.ts';
import { inEachMode } from './trial.ts';

const program = resolve(import.meta.dirname, '../../bin/localdns');
/** Where the agent changes a node: it adds no address. */
const touched = ['ip -6 route', 'ip -6 rule', 'ip route', 'ip rule', 'nft list ruleset'];

inEachMode((trial) => {
  const isBare = async () => {
    await eventually('nothing of ours is there', 5_000, async () => {
      return !/localdns|fdcd:|169\.254\.10\.1/.test(JSON.stringify(await nodeState(trial.lab.node)));
    });
    assert.deepEqual(await nodeState(trial.lab.node), trial.bare);
  };

  test('while it serves, the node has rules and routes of ours, and no address', async () => {
    const now = await nodeState(trial.lab.node);
    const differing = Object.keys(now).filter((listing) => differs(now, trial.bare, listing));
    assert.deepEqual(differing.sort(), touched);
  });

  test('without the label the node is as it was before, and pods at the Service address have lost nothing', async () => {
    await trial.serving();
    await trial.ordeal(
      'removal',
      [lostOnlyCrossing, untracked, rightAnswers],
      async () => {
        await trial.lab.label(undefined);
        await eventually('the LocalDnsNode is gone', 5_000, async () => (await trial.served.node()) === undefined);
        return undefined;
      },
      { servers: Object.values(serviceAddresses) },
    );
    await isBare();
  });

  test('after kill -9, cleanup leaves the node as it was', async () => {
    await trial.lab.label('default');
    await trial.serving();
    const goals = [lostOnlyWhatWasHeld, untracked, rightAnswers];
    await trial.ordeal('kill -9, then cleanup', goals, () => trial.kill(), { servers: bothKindsAndFamilies });
    for (const time of ['the first time', 'again']) {
      const { code, stdout, stderr } = await trial.lab.node.run(program, ['cleanup']);
      assert.equal(code, 0, `${time}: ${stdout}${stderr}`);
      await isBare();
    }
  });
});

function differs(now: NodeState, before: NodeState, listing: string): boolean {
  return JSON.stringify(now[listing]) !== JSON.stringify(before[listing]);
}
