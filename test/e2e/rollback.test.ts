/** A profile that is no good reaches one node, and is taken back from it. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { eventually } from '../tools/eventually.ts';
import { inMode, isSmall } from './proof.ts';

const rolloutMs = 120_000;
const probes = ['www.example'];

inMode('nftables', (proof) => {
  before(async () => {
    if (isSmall) return;
    const { served } = proof;
    await served.serve();
    for (const node of served.cluster.nodes) await served.label('default', node);
    await served.untilServed([...served.clients, ...served.others]);
    await served.applyProfile({ rollout: { canary: { nodes: 1, soakSeconds: 2 }, probes } });
    await eventually('all nodes have it', rolloutMs, () => served.isProgrammed());
  });

  test('a bad profile is seen by its canary alone, and taken back', {
    skip: isSmall && 'there is one node',
  }, async () => {
    const { served } = proof;
    const { nodes } = served.cluster;
    const revisions = async () =>
      Promise.all(nodes.map(async (node) => (await served.localDnsNode(node))?.spec.revision));
    const before = await revisions();
    const seen = nodes.map(() => new Set<string | undefined>());
    const spec = {
      rollout: { canary: { nodes: 1, soakSeconds: 2 }, autoRollback: true, probes },
      upstreams: [{ name: 'nobody', servers: ['203.0.113.53'] }],
      kubeDNSOverrides: { example: { forwardDestination: 'nobody' } },
    };
    const startedAt = performance.now();
    await served.applyProfile(spec);
    await eventually('it is rolled back', rolloutMs, async () => {
      for (const [index, revision] of (await revisions()).entries()) seen[index]?.add(revision);
      const { status } = (await served.profile()) ?? {};
      return status?.conditions?.some(({ type, reason }) => type === 'Progressing' && reason === 'RolledBack');
    });
    await eventually('all nodes are as before', rolloutMs, async () => {
      assert.deepEqual(await revisions(), before);
      return true;
    });
    proof.fact('a bad profile: until it is taken back', `${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
    assert.deepEqual(seen.map((each) => each.size).sort(), [1, 2], 'one node has had another revision');
    for (const client of [...served.clients, ...served.others]) {
      const { answers } = await client.network.ask({ server: '10.96.0.10', name: `new-${client.name}.example` });
      assert.equal(answers.length, 1);
    }
  });

  test('the other node is left alone again', { skip: isSmall && 'there is one node' }, async () => {
    const { served } = proof;
    await served.applyProfile();
    for (const node of served.cluster.nodes.slice(1)) await served.label(undefined, node);
    await eventually('it has no agent', rolloutMs, () =>
      served.cluster.nodes.slice(1).every((node) => served.agents(node).length === 0),
    );
  });
});
