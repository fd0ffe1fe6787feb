/** The agent's probes come to its listener as a pod's queries do, where no socket of its own address exists. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeHealth } from '../../api/v1alpha1/node.ts';
import { eventually } from '../tools/eventually.ts';
import { inEachMode } from './trial.ts';

/** Cluster DNS does not know it: to be asked in the agent's place would show. */
const name = 'here.cluster.local';

inEachMode((trial) => {
  test('a node on trial resolves its probes at an address that packets are only led to', async () => {
    const rollout = { canary: { nodes: 1, soakSeconds: 1 }, probes: [name] };
    await trial.lab.applyProfile({ rollout, hosts: [{ hostnames: [name], addresses: ['192.0.2.99'] }] });
    const health = await eventually('the health', 30_000, async () => {
      const status = (await trial.served.node())?.status as { health?: NodeHealth } | undefined;
      return status?.health?.probes?.length === 1 ? status.health : undefined;
    });
    assert.deepEqual(health.probes, [{ name, ok: true }]);
    await trial.lab.applyProfile({});
  });
});
