/** Listeners whose connections stay tracked, for network policies that look at them. */
import { test } from 'node:test';
import { pause } from '../cluster/scene.ts';
import { connectionsSurvive, fast, type Goal, nothingLost, rightAnswers } from './goals.ts';
import { inEachMode } from './trial.ts';

inEachMode((trial) => {
  test('tracked listeners: network policies see the connections of pods, and nothing is lost', async () => {
    await trial.lab.applyProfile({ listeners: { cluster: { tracked: true } } });
    await trial.servingAnew();
    const tracked: Goal = {
      words: 'connections tracked',
      failure: (outcome) => (outcome.tracked.length > 0 ? undefined : 'none'),
    };
    const goals = [nothingLost, fast, connectionsSurvive, rightAnswers, tracked];
    await trial.ordeal('tracked: true', goals, async () => {
      await pause(1_000);
      return undefined;
    });
  });
});
