/** Queries of the node itself: they take the output path, where no socket tells whether the agent lives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../tools/eventually.ts';
import { fast, lostOnlyWhatWasHeld, rightAnswers, untracked } from './goals.ts';
import { answerOf, clusterListeners, nodeListeners, serviceAddresses } from './lab.ts';
import { addresses } from './network.ts';
import { answeredByAgent, bothKindsAndFamilies } from './served-lab.ts';
import { inEachMode } from './trial.ts';

const resolvers = [addresses.nodeResolver.v4];

inEachMode((trial) => {
  test('node processes are answered by the agent at every address', async () => {
    for (const server of [...bothKindsAndFamilies, ...Object.values(nodeListeners), ...resolvers]) {
      for (const transport of ['udp', 'tcp'] as const) {
        await eventually(`${server} over ${transport}`, 3_000, () =>
          answeredByAgent(trial.lab.node, server, transport),
        );
      }
    }
  });

  test('pods with the dnsPolicy Default, which ask the resolver of the node, are answered by the agent', async () => {
    const [pod] = trial.lab.pods;
    for (const server of resolvers) {
      for (const transport of ['udp', 'tcp'] as const) {
        assert.ok(pod && (await answeredByAgent(pod, server, transport)), `${server} over ${transport}`);
        const { answers } = await pod.ask({ server, transport, name: 'www.somewhere.net' });
        assert.equal(answers[0]?.data, answerOf.nodeResolver);
        const service = await pod.ask({ server, transport, name: 'kubernetes.default.svc.cluster.local' });
        assert.equal(service.answers[0]?.data, '10.96.0.1', 'the cluster is known there too');
      }
    }
  });

  test('cluster DNS, which asks the same resolver, is not intercepted, on this node or on another', async () => {
    const name = `loop-${Date.now()}.net`;
    for (const server of [addresses.nearDns.v4, addresses.farDns.v4]) {
      const { answers } = await trial.lab.node.ask({ server, name });
      assert.equal(answers[0]?.data, answerOf.nodeResolver);
    }
    assert.equal(await answeredByAgent(trial.lab.nearDnsPod, addresses.nodeResolver.v4), false);
  });

  test('kill -9: node processes lose only what the dying process held, and are then answered by cluster DNS', async () => {
    const goals = [lostOnlyWhatWasHeld, fast, untracked, rightAnswers];
    const load = { from: [trial.lab.node], servers: bothKindsAndFamilies, perSecond: 640 };
    await trial.ordeal('kill -9, node processes', goals, () => trial.kill(), load);
  });

  test('while no agent lives, every address of ours leads elsewhere: cluster DNS, or the resolver of the node', async () => {
    const { lab } = trial;
    const [pod] = lab.pods;
    for (const client of [lab.node, pod]) {
      for (const transport of ['udp', 'tcp'] as const) {
        for (const server of [...Object.values(clusterListeners), ...Object.values(serviceAddresses)]) {
          const answer = await client?.ask({ server, transport, name: 'www.cached.example', timeoutMs: 1_000 });
          assert.equal(answer?.answers[0]?.data, answerOf.clusterDns, `${server} over ${transport}`);
          assert.equal(client && (await answeredByAgent(client, server, transport)), false);
        }
        const answer = await client?.ask({ server: nodeListeners.v4, transport, name: 'www.somewhere.net' });
        assert.equal(answer?.answers[0]?.data, answerOf.nodeResolver, `${nodeListeners.v4} over ${transport}`);
      }
    }
  });

  test('started again, the agent takes over again', async () => {
    await trial.serving();
    await eventually('node processes too', 5_000, () => answeredByAgent(trial.lab.node, clusterListeners.v4, 'tcp'));
  });
});
