/** From nothing to the first answer of an agent, and back to nothing: image, chart, profile, label. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Namespace } from '../cluster/namespace.ts';
import { pause } from '../cluster/scene.ts';
import { connectionsSurvive, lostOnlyAtTheEnd, nothingLost, rightAnswers, untracked } from '../datapath/goals.ts';
import { serviceAddresses } from '../datapath/lab.ts';
import { type NodeState, nodeState } from '../datapath/node-state.ts';
import { eventually } from '../tools/eventually.ts';
import { inEachMode, isSmall } from './proof.ts';
import { system } from './served-cluster.ts';

/** Of a person who watches. */
const firstAnswerMs = 60_000;
const goneMs = 30_000;
/** Of a Lease that nobody has given back: so long the next operator would wait. */
const leaseMs = 15_000;
/** At our own addresses nobody answers before LocalDNS is there. */
const atService = { servers: [serviceAddresses.v4] };

inEachMode((proof) => {
  let bare: NodeState;

  before(async () => {
    await proof.served.remove();
    bare = await settledState(proof.served.node);
  });

  test('helm install, a profile, a label: the node is served, and nothing is lost on the way', async () => {
    const { served } = proof;
    for (const client of served.clients) assert.equal(await served.isServed(client), false);
    const goals = [nothingLost, connectionsSurvive, rightAnswers];
    await proof.ordeal(
      'helm install, a profile, a label',
      goals,
      async () => {
        const startedAt = performance.now();
        const note = (what: string) => {
          const ms = performance.now() - startedAt;
          proof.fact(`${what}, after the start of the image's import`, `${(ms / 1_000).toFixed(1)} s`);
          return ms;
        };
        await served.importImage();
        note('nodes have the image');
        await served.install();
        note('helm install has returned');
        await served.applyProfile();
        await served.label('default');
        await served.untilServed();
        assert.ok(note('every pod of the node is answered by its agent') < firstAnswerMs);
        await eventually('the profile is programmed', firstAnswerMs, () => served.isProgrammed());
        note('the profile is Programmed');
        return undefined;
      },
      atService,
    );
  });

  test('the pods of the node are answered by its agent over both transports, and nothing of it is tracked', async () => {
    const { served } = proof;
    for (const client of served.clients) {
      assert.deepEqual([await served.isServed(client), await served.isServed(client, 'tcp')], [true, true]);
    }
    const before = await received();
    const { sent } = await proof.ordeal('nothing', [nothingLost, untracked, rightAnswers], async () => undefined);
    assert.ok((await received()) - before >= sent, 'the agent counts them all');
  });

  test("the other node's pods are answered by cluster DNS, and it has nothing of ours", {
    skip: isSmall && 'there is one node',
  }, async () => {
    const { served } = proof;
    assert.ok(served.others.length > 0);
    for (const other of served.others) {
      assert.equal(await served.isServed(other), false);
      assert.equal(await served.localDnsNode(other.node), undefined);
      assert.deepEqual(served.agents(other.node), []);
      assert.doesNotMatch(JSON.stringify(await nodeState(other.node.network)), /localdns|169\.254\.10\./);
    }
  });

  test('helm test resolves a name', async () => {
    const { code, stdout, stderr } = await proof.served.cluster.control.helm('test', 'localdns', '-n', system);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /Phase: +Succeeded/);
  });

  test('without the label the agent goes, and pods that ask cluster DNS lose nothing', async () => {
    const { served } = proof;
    await proof.ordeal(
      'label removed',
      [lostOnlyAtTheEnd, rightAnswers],
      async () => {
        await served.label(undefined);
        await eventually('its LocalDnsNode is gone', goneMs, async () => (await served.localDnsNode()) === undefined);
        await eventually('its agent is gone', goneMs, () => served.agents().length === 0);
        return undefined;
      },
      atService,
    );
    for (const client of served.clients) assert.equal(await served.isServed(client), false);
  });

  test('a deleted profile takes the agents away, too, and then itself', async () => {
    const { served } = proof;
    await served.label('default');
    await served.untilServed();
    await proof.ordeal(
      'profile deleted',
      [lostOnlyAtTheEnd, rightAnswers],
      async () => {
        await served.cluster.control.kubectlOk('delete', 'ldp/default', '--timeout=30s');
        return undefined;
      },
      atService,
    );
    await eventually('its agent is gone', goneMs, () => served.agents().length === 0);
    assert.equal(await served.localDnsNode(), undefined);
    await served.label(undefined);
  });

  test('helm uninstall of what serves, with its profile and its label there, leaves the node as it was before the install', async () => {
    const { served } = proof;
    await served.applyProfile();
    await served.label('default');
    await served.untilServed();
    await proof.ordeal(
      'helm uninstall',
      [lostOnlyAtTheEnd, rightAnswers],
      async () => {
        const startedAt = performance.now();
        await served.uninstall();
        proof.fact('helm uninstall has returned', `${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
        return undefined;
      },
      atService,
    );
    for (const client of served.clients) assert.equal(await served.isServed(client), false);
    await eventually('the node is as it was', goneMs, async () => {
      assert.deepEqual(await nodeState(served.node), bare);
      return true;
    });
    const { control } = served.cluster;
    const kinds =
      'ldp,ldn,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings';
    const left = await control.kubectlOk('get', kinds, '-A', '-l', 'app.kubernetes.io/part-of=localdns', '-o', 'name');
    assert.equal(left.trim(), '');
    assert.equal((await control.kubectlOk('get', 'ldn', '-o', 'name')).trim(), '');
    const [profile = '', finalizers] = (
      await control.kubectlOk('get', 'ldp', '-o', 'jsonpath={.items[*].metadata.name} {.items[*].metadata.finalizers}')
    ).split(' ');
    assert.deepEqual(
      [profile, finalizers?.replaceAll('[]', '')],
      ['default', ''],
      'it is who wrote it that deletes it',
    );
    await eventually('the last pods have ended', goneMs, async () => {
      assert.equal((await control.kubectlOk('get', 'all,leases', '-n', system, '-o', 'name')).trim(), '');
      return true;
    });
    const nodes = await control.kubectlOk('get', 'nodes', '-o', 'jsonpath={.items[*].metadata.labels}');
    assert.doesNotMatch(nodes, /localdns\.dev\/state/);
  });

  test('installed again, it serves by the profile that is still there, and waits for nobody', async () => {
    const { served } = proof;
    const startedAt = performance.now();
    await served.install();
    await served.untilServed();
    const ms = performance.now() - startedAt;
    proof.fact('installed again, with profile and label there: every pod is answered', `${(ms / 1_000).toFixed(1)} s`);
    assert.ok(ms < leaseMs, `${ms} ms`);
    await served.remove();
  });

  /** Queries that came to the agent's listeners. */
  const received = async () => {
    const page = await proof.served.agentPage('metrics');
    const counts = Array.from(page.matchAll(/^localdns_queries_total\{.*\} (\S+)$/gm), ([, count]) => Number(count));
    return counts.reduce((sum, count) => sum + count, 0);
  };
});

/** kube-proxy writes its rules one family after the other. */
async function settledState(node: Namespace): Promise<NodeState> {
  return eventually('nobody changes rules any more', goneMs, async () => {
    const before = await nodeState(node);
    await pause(1_500);
    const now = await nodeState(node);
    assert.deepEqual(now, before);
    return now;
  });
}
