/** A profile for each node pool, by the labels that clouds put on nodes. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { serviceAddresses } from '../datapath/lab.ts';
import { eventually } from '../tools/eventually.ts';
import type { Pod } from './pod.ts';
import { inMode, isSmall } from './proof.ts';

const withinMs = 60_000;
const poolLabels = [
  'agentpool',
  'eks.amazonaws.com/nodegroup',
  'cloud.google.com/gke-nodepool',
  'karpenter.sh/nodepool',
];
const pools = ['web', 'batch'] as const;
const name = 'which-pool.example';
const addressOf = { web: '192.0.2.71', batch: '192.0.2.72' } as const;
const skip = isSmall && 'there is one node';

inMode('nftables', (proof) => {
  before(async () => {
    if (isSmall) return;
    const { served } = proof;
    await served.serve();
    // Who is named on the node itself wins over all selectors.
    for (const node of served.cluster.nodes) await served.label(undefined, node);
    await served.cluster.control.kubectlOk('delete', 'ldp', '--all', '--timeout=60s');
  });

  after(async () => {
    if (isSmall) return;
    await proof.served.cluster.control.kubectlOk('delete', 'ldp', '--all', '--timeout=60s');
    for (const label of poolLabels) await mark(label);
  });

  /** Each node is of a pool of its own; without `values` of none. */
  const mark = async (label: string, values: readonly string[] = []) => {
    for (const [index, node] of proof.served.cluster.nodes.entries()) {
      const value = values[index];
      const change = value === undefined ? `${label}-` : `${label}=${value}`;
      await proof.served.cluster.control.kubectlOk('label', '--overwrite', `node/${node.name}`, change);
    }
  };

  const answer = async (pod: Pod | undefined) => {
    assert.ok(pod);
    const { answers } = await pod.network.ask({ server: serviceAddresses.v4, name, timeoutMs: 1_000 });
    return answers[0]?.data;
  };

  for (const label of poolLabels) {
    test(`${label}: each pool is answered by its own profile, and a node that changes pools by the other one`, {
      skip,
    }, async () => {
      const { served } = proof;
      for (const pool of pools) {
        const spec = {
          nodeSelector: { matchLabels: { [label]: pool } },
          hosts: [{ addresses: [addressOf[pool]], hostnames: [name] }],
        };
        await served.applyProfile(spec, pool);
      }
      const haveAnswers = async (first: string, second: string) =>
        (await answer(served.clients[0])) === first && (await answer(served.others[0])) === second;
      await mark(label, pools);
      await eventually('each has its own', withinMs, () => haveAnswers(addressOf.web, addressOf.batch));
      await mark(label, [...pools].reverse());
      await eventually('each has the other one', withinMs, () => haveAnswers(addressOf.batch, addressOf.web));
      await mark(label);
      await eventually('no node is served', withinMs, () =>
        served.cluster.nodes.every((node) => served.agents(node).length === 0),
      );
    });
  }
});
