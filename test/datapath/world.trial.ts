/** The world around the agent changes, while three pods ask at both kinds of address over both transports. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { pause } from '../cluster/scene.ts';
import { eventually } from '../tools/eventually.ts';
import { answerOf, nodeListeners, nodeName } from './lab.ts';
import { addresses, nft } from './network.ts';
import {
  answered,
  connectionsSurvive,
  fast,
  type Goal,
  type Moments,
  nothingLost,
  type OrdealOptions,
  Results,
  rightAnswers,
  underLoad,
  untracked,
} from './ordeal.ts';
import { answeredByAgent, bothKinds, ServedLab } from './served-lab.ts';

let served: ServedLab;
const results = new Results();
const steady = [nothingLost, fast, untracked, connectionsSurvive, rightAnswers];

before(async () => {
  served = await ServedLab.start('nftables');
});

after(async () => {
  results.print();
  await served?.stop();
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

test('the configuration changes', () =>
  ordeal('configuration change', steady, async () => {
    const before = (await served.node())?.spec.revision;
    await served.lab.applyProfile({ kubeDNSOverrides: { 'corp.example': { cacheDurationInSeconds: 5 } } });
    await eventually('the change is in force', 5_000, async () => {
      const { spec, status } = (await served.node()) ?? {};
      return spec?.revision !== before && status?.appliedRevision === spec?.revision;
    });
  }));

test('an endpoint of cluster DNS comes or goes: elements of sets change, and no rule', async () => {
  const { lab } = served;
  const monitor = lab.node.exec('nft', ['monitor'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const changes: string[] = [];
  monitor.stdout?.setEncoding('utf8').on('data', (text: string) => changes.push(...text.split('\n')));
  await ordeal('endpoint change', steady, async () => {
    await lab.publish(addresses.farDns);
    await eventually('the fallback leads to the other endpoint alone', 5_000, async () => {
      const { stdout } = await lab.node.run('nft', ['list', 'map', 'ip', 'localdns', 'cluster_backends']);
      return stdout.includes(addresses.farDns.v4) && !stdout.includes(addresses.nearDns.v4);
    });
    await lab.publish(addresses.nearDns, addresses.farDns);
    await pause(300);
  });
  monitor.kill();
  const ours = changes.filter((line) => /^(add|delete|insert|replace|destroy) .*\blocaldns/.test(line));
  assert.ok(
    ours.some((line) => /^add element /.test(line)),
    changes.join('\n'),
  );
  assert.deepEqual(
    ours.filter((line) => !/^(add|delete|destroy) element /.test(line)),
    [],
  );
});

test('one of two pods of cluster DNS falls silent', async () => {
  await ordeal('one CoreDNS silent', [nothingLost, untracked, connectionsSurvive, rightAnswers], async () => {
    served.lab.farDns.hang();
    await pause(2_000);
  });
  served.lab.farDns.wake();
});

test('all of cluster DNS is silent for five seconds: stale answers', async () => {
  const names = ['a', 'b', 'c', 'd'].map((label) => `${label}.brief.example`);
  await ordeal(
    'both CoreDNS silent for 5 s',
    [nothingLost, fast, untracked, connectionsSurvive, rightAnswers],
    async () => {
      served.lab.nearDns.hang();
      served.lab.farDns.hang();
      await pause(5_000);
      served.lab.nearDns.wake();
      served.lab.farDns.wake();
    },
    { names, beforeMs: 1_500 },
  );
});

test('the API server is gone for three seconds', async () => {
  await ordeal('API server gone', steady, async () => {
    await served.lab.cluster.stopApiServer();
    await pause(3_000);
  });
  await served.lab.cluster.restartApiServer();
});

test('the resolvers of the node change', async () => {
  const { lab } = served;
  const servers = [addresses.nodeResolver.v4, nodeListeners.v4];
  const either = [answerOf.nodeResolver, answerOf.otherResolver].map((data) => `NOERROR ${data}`);
  // Connections to the old address are ended by the agent, which has no business there any more.
  const goals = [nothingLost, fast, answered('.net', either)];
  await ordeal(
    'node resolver list changed',
    goals,
    async () => {
      lab.localdns.setNodeResolvers(nodeName, [addresses.otherResolver.v4]);
      await eventually('new names are asked of the new resolver', 5_000, async () => {
        const name = `n${Date.now()}.net`;
        const { answers } = (await lab.pods[0]?.ask({ server: nodeListeners.v4, name })) ?? {};
        return answers?.[0]?.data === answerOf.otherResolver;
      });
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

test('somebody flushes all packet rules', async () => {
  const { lab } = served;
  try {
    await ordeal('nft flush ruleset', steady, async () => {
      nft(lab.node, 'flush ruleset');
      await eventually('the fallback is there again', 5_000, async () => {
        return (await lab.node.run('nft', ['list', 'map', 'ip', 'localdns', 'cluster_backends'])).code === 0;
      });
      await pause(1_500);
    });
  } finally {
    // kube-proxy itself notices only after some time.
    await lab.restartKubeProxy();
  }
});
