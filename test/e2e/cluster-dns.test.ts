/** Cluster DNS goes away and comes back under an agent that serves, while pods ask. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Answer } from '../cluster/dns-client.ts';
import { pause } from '../cluster/scene.ts';
import { connectionsSurvive, nothingLost, rightAnswers, untracked } from '../datapath/goals.ts';
import { answerOf, serviceAddresses } from '../datapath/lab.ts';
import { eventually } from '../tools/eventually.ts';
import { inMode } from './proof.ts';

const awayMs = 10_000;
const recoveryMs = 1_000;
const backMs = 60_000;
/** RFC 8914 §4.4: a stale answer. */
const stale = 3;
const brief = ['a', 'b', 'c', 'd'].map((label) => `${label}.brief.example`);
const deployment = ['-n', 'kube-system', 'deployment/coredns'];

inMode('nftables', (proof) => {
  before(() => proof.served.serve());

  const ask = (name: string): Promise<Answer> => {
    const [client] = proof.served.networks;
    assert.ok(client);
    return client.ask({ server: serviceAddresses.v4, name, timeoutMs: 2_000 });
  };

  const isReady = async () => {
    const slices = ['-n', 'kube-system', '-l', 'kubernetes.io/service-name=kube-dns'];
    const path = 'jsonpath={.items[*].endpoints[*].conditions.ready}';
    return (await proof.served.cluster.control.kubectlOk('get', 'endpointslices', ...slices, '-o', path)).includes(
      'true',
    );
  };

  test('without any pod of cluster DNS cached names are answered, and said to be stale; new ones are as soon as it is back', async () => {
    const { control, nodes } = proof.served.cluster;
    const goals = [nothingLost, connectionsSurvive, untracked, rightAnswers];
    await proof.ordeal(
      `no cluster DNS for ${awayMs / 1_000} s`,
      goals,
      async () => {
        const atMs = Date.now();
        await control.kubectlOk('scale', ...deployment, '--replicas=0');
        await eventually('no pod of it runs', backMs, () =>
          nodes.every(({ containers }) => containers.every(({ name }) => name !== 'coredns')),
        );
        await pause(awayMs);
        const answer = await ask(brief[0] ?? '');
        assert.deepEqual([answer.rcode, answer.extendedError], ['NOERROR', stale]);
        assert.notEqual((await ask('never-asked.example')).rcode, 'NOERROR');
        await control.kubectlOk('scale', ...deployment, `--replicas=${nodes.length}`);
        await eventually('its endpoints are back', backMs, isReady);
        const startedAt = performance.now();
        await eventually('a new name is answered', backMs, async () => {
          const { answers } = await ask(`new-${Date.now()}.example`);
          return answers[0]?.data === answerOf.clusterDns;
        });
        const ms = Math.round(performance.now() - startedAt);
        proof.fact('cluster DNS is back: until a new name is answered', `${ms} ms`);
        assert.ok(ms < recoveryMs, `${ms} ms`);
        return { atMs };
      },
      // Their TTL is a second: all of them have run out long before the end.
      { names: brief, beforeMs: 1_500 },
    );
  });

  test('its pods are replaced one after the other: nothing is lost, names in no cache included', async () => {
    const { control } = proof.served.cluster;
    await control.kubectlOk('rollout', 'status', ...deployment, '--timeout=60s');
    await proof.ordeal('pods of cluster DNS replaced', [nothingLost, untracked, rightAnswers], async () => {
      await control.kubectlOk('rollout', 'restart', ...deployment);
      await control.kubectlOk('rollout', 'status', ...deployment, '--timeout=60s');
      // The last of the old ones ends only after that.
      await pause(6_000);
      return undefined;
    });
  });
});
