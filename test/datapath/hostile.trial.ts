/** Something on the node does not want the agent's way of serving; whatever it does, pods keep their DNS. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { pause } from '../cluster/scene.ts';
import { eventually } from '../tools/eventually.ts';
import { clusterListeners, podCount } from './lab.ts';
import { addresses, nft } from './network.ts';
import {
  connectionsSurvive,
  fast,
  type Goal,
  lostOnlyBetween,
  type Moments,
  nothingLost,
  type OrdealOptions,
  Results,
  rightAnswers,
  underLoad,
  untracked,
} from './ordeal.ts';
import { answeredByAgent, bothKinds, ServedLab } from './served-lab.ts';
import { cachedNames } from './traffic.ts';

let served: ServedLab;
const results = new Results();

before(async () => {
  served = await ServedLab.start('nftables');
});

after(async () => {
  results.print();
  await served?.stop();
});

/** What an agent has learned of the node's rules goes with it. */
beforeEach(async () => {
  if (served.agent.isRunning) await served.agent.stop();
  served.startAgent();
  await served.untilIntercepted();
});

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(served?.lastWords);
});

async function ordeal(
  event: string,
  goals: readonly Goal[],
  deed: () => Promise<unknown>,
  options: Partial<OrdealOptions> = {},
): Promise<void> {
  const load = { from: served.lab.pods, servers: bothKinds, ...options };
  const outcome = await underLoad(served.lab, load, async (): Promise<Moments> => {
    const atMs = Date.now();
    await deed();
    return { atMs };
  });
  assert.deepEqual(results.note(event, served.kubeProxy.mode, outcome, goals), []);
}

const firewall = `table inet firewall {
  chain input {
    type filter hook input priority filter; policy drop;
    iif "lo" accept
    ct state established,related accept
    ip6 nexthdr icmpv6 accept
  }
}`;

test('an INPUT chain that drops what pods send to the node comes while the agent serves', async () => {
  // Each client that was served finds out by what is lost; how soon is measured.
  const goals = [lostOnlyBetween('lost only in the first 3 s', -5, () => 3_000), untracked, rightAnswers];
  try {
    await ordeal(
      'INPUT chain drops',
      goals,
      async () => {
        nft(served.lab.node, firewall);
        await pause(5_000);
      },
      { afterMs: 500 },
    );
    const { status, reason } = (await served.condition('Intercepting')) ?? {};
    assert.equal(status, 'False', `reason: ${reason}`);
  } finally {
    nft(served.lab.node, 'delete table inet firewall');
  }
});

test('an agent that starts behind such a chain intercepts nothing', async () => {
  await served.agent.stop();
  nft(served.lab.node, firewall);
  try {
    await ordeal('INPUT chain drops, agent starts', [lostAtMost(podCount * 2), rightAnswers], async () => {
      served.startAgent();
      await eventually('the agent says so', 15_000, async () => {
        const { status, reason } = (await served.condition('Intercepting')) ?? {};
        return status === 'False' && reason === 'InputDropped';
      });
      await pause(1_000);
    });
  } finally {
    nft(served.lab.node, 'delete table inet firewall');
  }
});

/** Each source of queries may be tried with a packet now and then. */
function lostAtMost(count: number): Goal {
  return {
    words: `at most ${count} lost`,
    failure: ({ lost }) => (lost.length > count ? `${lost.length} lost` : undefined),
  };
}

test('a pod whose network policy allows port 53 only to cluster DNS asks cluster DNS', async () => {
  const { lab } = served;
  const dns = [addresses.nearDns.v4, addresses.farDns.v4].join(', ');
  await served.agent.stop();
  nft(
    lab.node,
    `table inet allowed {
      chain forward {
        type filter hook forward priority filter; policy accept;
        iifname "pod0" ip daddr { ${dns} } meta l4proto { tcp, udp } th dport 53 accept
        iifname "pod0" drop
      }
      chain input {
        type filter hook input priority filter; policy accept;
        iifname "pod0" drop
      }
    }`,
  );
  try {
    served.startAgent();
    const others = lab.pods.slice(1);
    await eventually('the other pods are served', 15_000, async () => {
      return (await Promise.all(others.map((pod) => answeredByAgent(pod, bothKinds[0] ?? '')))).every((is) => is);
    });
    await ordeal('a pod under a policy', [lostAtMost(2), rightAnswers], () => pause(3_000));
    for (const pod of others) assert.ok(await answeredByAgent(pod, clusterListeners.v4));
    assert.equal(lab.pods[0] && (await answeredByAgent(lab.pods[0], bothKinds[0] ?? '')), false);
  } finally {
    nft(lab.node, 'delete table inet allowed');
  }
});

test('with a port that somebody else has, the node stays with cluster DNS', async () => {
  const { lab } = served;
  await served.agent.stop();
  const script = `
    require('node:dgram').createSocket('udp4').bind(53, '0.0.0.0');
    require('node:net').createServer().listen(53, '0.0.0.0');`;
  const squatter = lab.node.exec(process.execPath, ['-e', script], { stdio: 'ignore' });
  try {
    await eventually('the port is taken', 5_000, async () => {
      return (await lab.node.run('ss', ['-Hlun', 'sport = :53'])).stdout.includes('0.0.0.0:53');
    });
    await ordeal(
      'port taken at start',
      [nothingLost, fast, rightAnswers],
      async () => {
        served.startAgent();
        await eventually('the agent says so', 15_000, async () => {
          const { status, reason } = (await served.condition('Intercepting')) ?? {};
          return status === 'False' && reason === 'PortTaken';
        });
      },
      { names: cachedNames },
    );
    served.agent.assertRunning();
  } finally {
    squatter.kill('SIGKILL');
  }
  await served.untilIntercepted();
});

test('tracked listeners: network policies see the connections of pods, and nothing is lost', async () => {
  await served.lab.applyProfile({ listeners: { cluster: { tracked: true } } });
  await eventually('the change is in force', 5_000, async () => {
    const { spec, status } = (await served.node()) ?? {};
    return status?.appliedRevision === spec?.revision && JSON.stringify(spec).includes('"tracked":true');
  });
  const tracked: Goal = {
    words: 'connections tracked',
    failure: (outcome) => (outcome.tracked.length > 0 ? undefined : 'none'),
  };
  await ordeal('tracked: true', [nothingLost, fast, connectionsSurvive, rightAnswers, tracked], () => pause(1_000));
});
