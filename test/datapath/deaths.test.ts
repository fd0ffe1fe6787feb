/** The agent dies or hangs, while three pods ask at both kinds of address over both transports. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pause } from '../cluster/scene.ts';
import { eventually } from '../tools/eventually.ts';
import {
  connectionsEndAtOnce,
  connectionsSurvive,
  fast,
  fastAfter,
  lapsedMs,
  lostAtMost,
  lostNoDatagram,
  lostOnlyUntilLapsed,
  lostOnlyWhatWasHeld,
  nothingLost,
  rightAnswers,
  untracked,
} from './goals.ts';
import { endWorker, hang, servingWithInspector } from './hangs.ts';
import { MemoryLimit } from './memory-limit.ts';
import { bothKinds, bothKindsAndFamilies } from './served-lab.ts';
import { cachedNames } from './traffic.ts';
import { inEachMode, nightly } from './trial.ts';

const afterDeath = [lostOnlyWhatWasHeld, fast, connectionsEndAtOnce, untracked, rightAnswers];

inEachMode((trial) => {
  nightly('nothing happens', async () => {
    await trial.servingAnew();
    const goals = [nothingLost, fast, connectionsSurvive, untracked, rightAnswers];
    await trial.ordeal('nothing', goals, async () => {
      await pause(1_000);
    });
  });

  nightly('kill -9', async () => {
    await trial.serving();
    await trial.ordeal('kill -9', afterDeath, () => trial.kill());
  });

  test('kill -9, in both families', async () => {
    await trial.serving();
    await trial.ordeal('kill -9, IPv4 and IPv6', afterDeath, () => trial.kill(), { servers: bothKindsAndFamilies });
  });

  test('connections that cluster DNS has when an agent starts go on, also when it dies', async () => {
    assert.equal(trial.agent.isRunning, false);
    // To our own addresses the fallback leads as kube-proxy leads to the others: they are cluster DNS's connections too.
    const load = { servers: bothKindsAndFamilies, transports: ['tcp'] } as const;
    await trial.ordeal(
      'connections of cluster DNS',
      [nothingLost, connectionsSurvive, rightAnswers],
      async () => {
        trial.served.startAgent();
        await trial.served.untilIntercepted();
        await pause(500);
        return await trial.kill();
      },
      load,
    );
  });

  test('SIGSTOP for five seconds, then SIGCONT', async () => {
    await trial.serving();
    const goals = [lostOnlyUntilLapsed, fastAfter(lapsedMs), untracked, rightAnswers];
    await trial.ordeal(
      'SIGSTOP for 5 s',
      goals,
      async () => {
        const atMs = Date.now();
        trial.agent.signal('SIGSTOP');
        await pause(5_000);
        trial.agent.signal('SIGCONT');
        return { atMs };
      },
      { servers: bothKindsAndFamilies },
    );
  });

  test('the thread that serves hangs: queries are lost until interception has ended by itself, and not after', async () => {
    await servingWithInspector(trial);
    const goals = [lostOnlyUntilLapsed, fastAfter(lapsedMs), untracked, rightAnswers];
    await trial.ordeal('serving thread hangs for 2.5 s', goals, () => hang(trial, 'main'));
    await trial.served.untilIntercepted();
  });

  test('the control worker hangs: interception ends by itself, and datagrams do not notice', async () => {
    await servingWithInspector(trial);
    // Connections end as well, each of them with at most one query under way: one to each server from each pod.
    const goals = [lostAtMost(bothKinds.length * trial.lab.pods.length), fast, untracked, rightAnswers];
    await trial.ordeal('control worker hangs for 2.5 s', goals, () => hang(trial, 'worker'));
    await trial.served.untilIntercepted();
  });

  test('the control worker dies: another one intercepts, and datagrams do not notice', async () => {
    await servingWithInspector(trial);
    // One that has ended may have been opened again before the rules of the dead one have gone.
    const lostFew = lostAtMost(2 * bothKinds.length * trial.lab.pods.length);
    const goals = [lostFew, lostNoDatagram, fast, untracked, rightAnswers];
    await trial.ordeal('control worker dies', goals, () => endWorker(trial));
    await trial.served.untilIntercepted();
    await eventually('Intercepting is True', 10_000, () => trial.served.isIntercepting());
  });

  test('memory runs out', async () => {
    await trial.agent.stop();
    trial.served.startAgent();
    const limit = MemoryLimit.of(trial.agent.pid);
    await trial.serving();
    try {
      await trial.ordeal('OOM kill', afterDeath, async () => {
        const atMs = await limit.runOut(trial.agent.pid, trial.lab.node);
        await trial.agent.ended();
        assert.equal(trial.agent.ending, 'SIGKILL');
        return { atMs, untilMs: Date.now() };
      });
    } finally {
      await limit.remove();
    }
  });

  nightly('kill -9, and a new agent a moment later', async () => {
    await trial.serving();
    await trial.ordeal(
      'kill -9, restarted at once',
      afterDeath,
      async () => {
        const moments = await trial.kill();
        trial.served.startAgent();
        await trial.served.untilIntercepted();
        return moments;
      },
      { names: cachedNames },
    );
  });
});
