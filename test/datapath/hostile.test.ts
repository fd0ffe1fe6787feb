/** Something on the node does not want the agent's way of serving; whatever it does, pods keep their DNS. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pause } from '../cluster/scene.ts';
import { eventually } from '../tools/eventually.ts';
import {
  connectionsSurvive,
  fast,
  type Goal,
  lostAtMost,
  lostOnlyWhatWasHeld,
  nothingLost,
  rightAnswers,
} from './goals.ts';
import { allowsOnly, dropsWhatPodsSend } from './hostile.ts';
import { clusterListeners, podCount } from './lab.ts';
import { addresses, nft } from './network.ts';
import { answeredByAgent, bothKinds } from './served-lab.ts';
import { cachedNames } from './traffic.ts';
import { inEachMode, nightly, type Trial } from './trial.ts';

/** In the longest time that an agent may take to say so. */
const saysMs = 15_000;

inEachMode((trial) => {
  test('an agent that starts behind an INPUT chain that drops what pods send intercepts nothing', async () => {
    await trial.agent.stop();
    nft(trial.lab.node, dropsWhatPodsSend);
    try {
      // Each source of queries is tried with a packet now and then.
      await trial.ordeal('INPUT chain drops, agent starts', [lostAtMost(podCount * 2), rightAnswers], async () => {
        trial.served.startAgent();
        await eventually('the agent says so', saysMs, () => says(trial, 'InputDropped'));
        await pause(1_000);
        return undefined;
      });
    } finally {
      nft(trial.lab.node, 'delete table inet firewall');
    }
  });

  nightly('a pod whose network policy allows port 53 only to cluster DNS asks cluster DNS', async () => {
    const { lab } = trial;
    await trial.agent.stop();
    nft(lab.node, allowsOnly('pod0', [addresses.nearDns.v4, addresses.farDns.v4]));
    try {
      trial.served.startAgent();
      const [bound, ...others] = lab.pods;
      await eventually('the other pods are served', saysMs, async () => {
        return (await Promise.all(others.map((pod) => answeredByAgent(pod, bothKinds[0] ?? '')))).every((is) => is);
      });
      await trial.ordeal('a pod under a policy', [lostAtMost(2), rightAnswers], async () => {
        await pause(3_000);
        return undefined;
      });
      for (const pod of others) assert.ok(await answeredByAgent(pod, clusterListeners.v4));
      assert.equal(bound && (await answeredByAgent(bound, bothKinds[0] ?? '')), false);
    } finally {
      nft(lab.node, 'delete table inet allowed');
    }
  });

  test('with a port that somebody else has, the node stays with cluster DNS', async () => {
    const { lab } = trial;
    await trial.agent.stop();
    const script = `
      require('node:dgram').createSocket('udp4').bind(53, '0.0.0.0');
      require('node:net').createServer().listen(53, '0.0.0.0');`;
    const squatter = lab.node.exec(process.execPath, ['-e', script], { stdio: 'ignore' });
    try {
      await eventually('the port is taken', 5_000, async () => {
        return (await lab.node.run('ss', ['-Hlun', 'sport = :53'])).stdout.includes('0.0.0.0:53');
      });
      await trial.ordeal(
        'port taken at start',
        [nothingLost, fast, rightAnswers],
        async () => {
          trial.served.startAgent();
          await eventually('the agent says so', saysMs, () => says(trial, 'PortTaken'));
          return undefined;
        },
        { names: cachedNames },
      );
      trial.agent.assertRunning();
    } finally {
      squatter.kill('SIGKILL');
    }
  });

  nightly('once that port is free, the agent serves: it looks at the node again now and then', async () => {
    await eventually('the agent serves', 45_000, () => trial.served.isIntercepting());
    await trial.served.untilIntercepted();
  });

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
    // Each client keeps its port: what is tracked of it must not outlive the agent, nor keep the next one from being reached.
    await trial.ordeal('tracked: true, kill -9', [lostOnlyWhatWasHeld, fast, rightAnswers], () => trial.kill());
    await trial.ordeal('tracked: true, an agent starts', [nothingLost, rightAnswers], async () => {
      trial.served.startAgent();
      await trial.served.untilIntercepted();
      await pause(2_000);
      return undefined;
    });
    const { status, message } = (await trial.served.condition('Intercepting')) ?? {};
    assert.equal(status, 'True', message ?? 'there is no condition');
  });
});

async function says(trial: Trial, why: string): Promise<boolean> {
  const { status, reason } = (await trial.served.condition('Intercepting')) ?? {};
  return status === 'False' && reason === why;
}
