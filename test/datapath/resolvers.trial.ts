/** The resolvers of the node change, while pods and processes of the node ask them and our own address in their place. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../tools/eventually.ts';
import { answered, fast, lostOnlyCrossing } from './goals.ts';
import { answerOf, nodeListeners, nodeName } from './lab.ts';
import { addresses } from './network.ts';
import { answeredByAgent } from './served-lab.ts';
import { inEachMode } from './trial.ts';

inEachMode((trial) => {
  test('the resolvers of the node change', async () => {
    await trial.servingAnew();
    const { lab } = trial;
    const servers = [addresses.nodeResolver.v4, nodeListeners.v4];
    const either = [answerOf.nodeResolver, answerOf.otherResolver].map((data) => `NOERROR ${data}`);
    // Connections to the old address are ended by the agent, which has no business there any more.
    const goals = [lostOnlyCrossing, fast, answered('.net', either)];
    await trial.ordeal(
      'node resolver list changed',
      goals,
      async () => {
        lab.localdns.setNodeResolvers(nodeName, [addresses.otherResolver.v4]);
        await eventually('new names are asked of the new resolver', 5_000, async () => {
          const name = `n${Date.now()}.net`;
          const { answers } = (await lab.pods[0]?.ask({ server: nodeListeners.v4, name })) ?? {};
          return answers?.[0]?.data === answerOf.otherResolver;
        });
        return undefined;
      },
      { servers, from: [...lab.pods, lab.node], names: ['www.net', 'www.org.net', '*.cold.net'] },
    );
    await eventually('queries to the new resolver are taken over', 5_000, () => {
      return answeredByAgent(lab.node, addresses.otherResolver.v4);
    });
    assert.equal(await answeredByAgent(lab.node, addresses.nodeResolver.v4), false, 'the old one is left alone');
    lab.localdns.setNodeResolvers(nodeName, [addresses.nodeResolver.v4]);
    await eventually('and back', 5_000, () => answeredByAgent(lab.node, addresses.nodeResolver.v4));
  });
});
