/** Queries of the node itself: they take the output path, where no socket tells whether the agent lives. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { eventually } from '../tools/eventually.ts';
import { fast, lostOnlyWhatWasHeld, rightAnswers, untracked } from './goals.ts';
import { answerOf, clusterListeners, nodeListeners, serviceAddresses } from './lab.ts';
import { addresses } from './network.ts';
import { underLoad } from './ordeal.ts';
import { Results } from './results.ts';
import { answeredByAgent, bothKindsAndFamilies, ServedLab } from './served-lab.ts';

let served: ServedLab;
const results = new Results();

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

const resolvers = [addresses.nodeResolver.v4];

test('node processes are answered by the agent at every address', async () => {
  for (const server of [...bothKindsAndFamilies, ...Object.values(nodeListeners), ...resolvers]) {
    for (const transport of ['udp', 'tcp'] as const) {
      await eventually(`${server} over ${transport}`, 3_000, () => answeredByAgent(served.lab.node, server, transport));
    }
  }
});

test('pods with the dnsPolicy Default, which ask the resolver of the node, are answered by the agent', async () => {
  const [pod] = served.lab.pods;
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
    const { answers } = await served.lab.node.ask({ server, name });
    assert.equal(answers[0]?.data, answerOf.nodeResolver);
  }
  assert.equal(await answeredByAgent(served.lab.nearDnsPod, addresses.nodeResolver.v4), false);
});

test('kill -9: node processes lose only what the dying process held, and are then answered by cluster DNS', async () => {
  const { lab } = served;
  const load = { from: [lab.node], servers: bothKindsAndFamilies, perSecond: 640 };
  const outcome = await underLoad(lab, load, async () => {
    const atMs = Date.now();
    await served.agent.kill();
    return { atMs, untilMs: Date.now() };
  });
  const goals = [lostOnlyWhatWasHeld, fast, untracked, rightAnswers];
  assert.deepEqual(results.note('kill -9, node processes', 'nftables', outcome, goals), []);
});

test('while no agent lives, every address of ours leads elsewhere: cluster DNS, or the resolver of the node', async () => {
  const { lab } = served;
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
  served.startAgent();
  await served.untilIntercepted();
  await eventually('node processes too', 5_000, () => answeredByAgent(served.lab.node, clusterListeners.v4, 'tcp'));
});
