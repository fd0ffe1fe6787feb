/** The node's own programs die, and the whole node. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { connectionsSurvive, nothingLost, rightAnswers, untracked } from '../datapath/goals.ts';
import { nodeState } from '../datapath/node-state.ts';
import { eventually } from '../tools/eventually.ts';
import { inEachMode } from './proof.ts';

const againMs = 120_000;

inEachMode((proof) => {
  before(() => proof.served.serve());

  test('containerd and kubelet are killed and started again: the agent does not notice', async () => {
    const { servedNode } = proof.served;
    const agent = proof.agent();
    await proof.ordeal(
      'containerd and kubelet killed',
      [nothingLost, connectionsSurvive, untracked, rightAnswers],
      async () => {
        await servedNode.restartPrograms();
        return undefined;
      },
    );
    assert.deepEqual(proof.agent(), agent);
  });

  test('a node without power comes back on the same disk, and is served without help', async () => {
    const { served } = proof;
    const { servedNode } = served;
    await servedNode.powerOff();
    const startedAt = performance.now();
    const note = (what: string) =>
      proof.fact(`node without power: ${what}`, `${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
    await servedNode.boot();
    await servedNode.join();
    await eventually('its pods run again', againMs, () => served.findClients());
    note('its pods run again');
    await served.untilServed();
    note('its pods are answered by its agent');
    const listed = (await nodeState(servedNode.network))['nft list ruleset'] ?? [];
    const ofAgents = listed.filter((table) => /^table ip localdns-/.test(table));
    assert.equal(ofAgents.length, 1, 'nothing is there of an agent that lives no more');
    await eventually(
      'its agent says so',
      againMs,
      async () => (await served.condition('Intercepting'))?.status === 'True',
    );
    await proof.ordeal('after the reboot', [nothingLost, untracked, rightAnswers], async () => undefined);
  });
});
