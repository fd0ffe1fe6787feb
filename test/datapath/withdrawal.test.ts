/** What the agent has served goes elsewhere, while it lives and clients ask. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pause } from '../cluster/scene.ts';
import { eventually } from '../tools/eventually.ts';
import { answered, fast, lostOnlyBetween, lostOnlyCrossing, rightAnswers, untracked } from './goals.ts';
import { dropsAnswersToPods, dropsTcpFromPods, dropsWhatPodsSend } from './hostile.ts';
import { answerOf, nodeListeners, nodeName } from './lab.ts';
import { addresses, nft } from './network.ts';
import { answeredByAgent, bothKindsAndFamilies } from './served-lab.ts';
import { slowMs } from './traffic.ts';
import { inEachMode } from './trial.ts';

/** For how long an agent that is told to end may take. */
const drainMs = 5_000;
/** How soon nobody may lose anything any more. */
const soonMs = 3_000;

inEachMode((trial) => {
  /** The rule comes while pods ask: each client that was served finds out by what is lost; how soon is measured. */
  const whileDropping = async (event: string, rule: string, andThen: () => Promise<void>) => {
    await trial.servingAnew();
    const within = lostOnlyBetween(`lost only in the first ${soonMs} ms`, -slowMs, () => soonMs);
    try {
      await trial.ordeal(
        event,
        [within, untracked, rightAnswers],
        async () => {
          const atMs = Date.now();
          nft(trial.lab.node, rule);
          await pause(soonMs + 1_000);
          return { atMs };
        },
        { afterMs: 0 },
      );
      await andThen();
    } finally {
      nft(trial.lab.node, 'delete table inet firewall');
    }
  };

  test('SIGTERM without a successor: the agent withdraws, finishes what it has begun, and ends', async () => {
    await trial.serving();
    await trial.ordeal(
      'SIGTERM alone',
      [lostOnlyCrossing, fast, untracked, rightAnswers],
      async () => {
        const startedAt = performance.now();
        assert.equal(await trial.agent.stop(), 0, trial.agent.lastWords);
        const took = performance.now() - startedAt;
        assert.ok(took < drainMs, `ended after ${Math.round(took)} ms`);
        return undefined;
      },
      { servers: bothKindsAndFamilies },
    );
  });

  test('an INPUT chain that drops what pods send to the node comes while the agent serves', async () => {
    await whileDropping('INPUT chain drops', dropsWhatPodsSend, async () => {
      const { status, reason } = (await trial.served.condition('Intercepting')) ?? {};
      assert.deepEqual([status, reason], ['False', 'InputDropped']);
    });
  });

  test('a rule that drops TCP alone comes while the agent serves: over TCP cluster DNS is asked, over UDP the agent', async () => {
    await whileDropping('INPUT rule drops TCP', dropsTcpFromPods, async () => {
      const [pod] = trial.lab.pods;
      assert.ok(pod);
      for (const server of bothKindsAndFamilies) {
        assert.equal(await answeredByAgent(pod, server, 'udp'), true, server);
        assert.equal(await answeredByAgent(pod, server, 'tcp'), false, server);
      }
      const { message } = (await trial.served.condition('Intercepting')) ?? {};
      assert.match(message ?? '', /over one transport/);
    });
  });

  test('an OUTPUT chain that drops answers comes while the agent serves', async () => {
    await whileDropping('OUTPUT chain drops', dropsAnswersToPods, async () => {
      const { status, reason } = (await trial.served.condition('Intercepting')) ?? {};
      assert.deepEqual([status, reason], ['False', 'AnswersDropped']);
    });
  });

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
