/** `helm upgrade` to another image, while pods ask. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { lostNoDatagram, lostOnlyAtTheEnd, rightAnswers, untracked } from '../datapath/goals.ts';
import { eventually } from '../tools/eventually.ts';
import { inEachMode } from './proof.ts';
import { system } from './served-cluster.ts';

const upgradeMs = 120_000;

inEachMode((proof) => {
  before(async () => {
    await proof.served.serve();
    // Of an installation before this one an agent may still be on its way out.
    await eventually('one agent is left', upgradeMs, () => proof.served.agents().length === 1);
  });

  test('the new agent takes over from the old one: no datagram is lost, connections end in good order', async () => {
    const { served } = proof;
    const old = proof.agent();
    const image = { ...served.image, name: `${served.image.name}-next` };
    await Promise.all(served.cluster.nodes.map((node) => node.nameImage(served.image, image.name)));
    let most = 0;
    await proof.ordeal('helm upgrade', [lostNoDatagram, lostOnlyAtTheEnd, untracked, rightAnswers], async () => {
      const startedAt = performance.now();
      await served.install(image);
      await eventually('one other agent is left', upgradeMs, () => {
        const agents = served.agents();
        most = Math.max(most, agents.length);
        return agents.length === 1 && agents.every(({ pod }) => pod !== old.pod);
      });
      proof.fact(
        'helm upgrade, until the old agent is gone',
        `${((performance.now() - startedAt) / 1_000).toFixed(1)} s`,
      );
      return undefined;
    });
    assert.equal(most, 2, 'for a while there are two');
    assert.deepEqual(await Promise.all(served.clients.map((client) => served.isServed(client))), [true, true]);
    const selector = ['-l', 'app.kubernetes.io/component=agent', '-o', 'jsonpath={.items[*].spec.containers[*].image}'];
    assert.equal(await served.cluster.control.kubectlOk('get', 'pods', '-n', system, ...selector), image.name);
    await served.cluster.control.kubectlOk(
      'rollout',
      'status',
      'deployment/localdns-operator',
      '-n',
      system,
      '--timeout=60s',
    );
  });
});
