/** What the agent has served goes elsewhere, while it lives and clients ask. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { pause } from '../cluster/scene.ts';
import { fast, lostOnlyBetween, nothingLost, rightAnswers, untracked } from './goals.ts';
import { dropsWhatPodsSend } from './hostile.ts';
import { nft } from './network.ts';
import { bothKindsAndFamilies } from './served-lab.ts';
import { slowMs } from './traffic.ts';
import { inEachMode } from './trial.ts';

/** For how long an agent that is told to end may take. */
const drainMs = 5_000;

inEachMode((trial) => {
  beforeEach(() => trial.servingAnew());

  test('SIGTERM without a successor: the agent withdraws, finishes what it has begun, and ends', async () => {
    await trial.ordeal(
      'SIGTERM alone',
      [nothingLost, fast, untracked, rightAnswers],
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
    // Each client that was served finds out by what is lost; how soon is measured.
    const soonMs = 3_000;
    const goals = [
      lostOnlyBetween(`lost only in the first ${soonMs} ms`, -slowMs, () => soonMs),
      untracked,
      rightAnswers,
    ];
    try {
      await trial.ordeal(
        'INPUT chain drops',
        goals,
        async () => {
          const atMs = Date.now();
          nft(trial.lab.node, dropsWhatPodsSend);
          await pause(soonMs + 2_000);
          return { atMs };
        },
        { afterMs: 0 },
      );
      const { status, reason } = (await trial.served.condition('Intercepting')) ?? {};
      assert.deepEqual([status, reason], ['False', 'InputDropped']);
    } finally {
      nft(trial.lab.node, 'delete table inet firewall');
    }
  });
});
