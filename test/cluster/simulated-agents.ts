/**
 * Agents of many nodes in one process, as far as the API server sees of them: each applies what its LocalDnsNode says, serves, and reports
 * its health when its trial is over. A blocked domain tells what becomes of a configuration: `fails.NODE.test` makes the probes of that node
 * fail, `silent.NODE.test` keeps it from ever applying it, `stuck.NODE.test` from leaving, `bypassed.NODE.test` has no query led to it; `any`
 * is every node. A node that has a number
 * (node-00042) is as reliable as its number says; all others are.
 *
 *   node simulated-agents.ts KUBECONFIG
 */
import { setTimeout as delay } from 'node:timers/promises';
import { agentManager } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode, NodeHealth } from '../../api/v1alpha1/node.ts';
import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import { KubeClient } from '../../kube/client.ts';
import { readAccess } from '../../kube/kubeconfig.ts';
import type { KubeObject } from '../../kube/resource.ts';
import { Store } from '../../kube/store.ts';
import { LOCAL_DNS_NODES } from '../../operator/profile/world.ts';
import { type Temperament, temperamentOf } from './temperament.ts';

type Status = NonNullable<LocalDnsNode['status']>;
type Spec = LocalDnsNode['spec'];

/** Many machines in one: theirs would not come all at once either. */
const writesPerSecond = 400;
const slowMs = 2_000;
const flapMs = 1_500;
const leaveMs = 300;
const figures = { queries: 1000, servFailPermille: 1, p99Micros: 2000 };

const [path = ''] = process.argv.slice(2);
const client = new KubeClient({
  access: () => readAccess({ path, env: {} }),
  ...{ fieldManager: agentManager, userAgent: 'simulated-agents', writesPerSecond, timeoutMs: 60_000 },
});
/** Of each node, what has come last: a trial of something older is given up. */
const newest = new Map<string, object>();
const store = new Store({
  client,
  resource: LOCAL_DNS_NODES,
  keep: ({ metadata, spec }: LocalDnsNode & KubeObject) => ({
    name: metadata.name,
    generation: metadata.generation,
    spec,
  }),
});

store.onChange((name, old, now) => {
  if (now === undefined || now.generation === old?.generation) return;
  const { revision, profileRevision, config, trial, withdrawnAt } = now.spec;
  if (is('silent', name, config)) return;
  const isBack = old?.spec.withdrawnAt !== undefined;
  const isOther = revision !== old?.spec.revision || profileRevision !== old?.spec.profileRevision;
  const isNew = isBack || isOther || trial?.attempt !== old?.spec.trial?.attempt;
  if (!isNew && withdrawnAt === undefined) return;
  const turn = {};
  newest.set(name, turn);
  const isNewest = (): boolean => newest.get(name) === turn;
  if (withdrawnAt === undefined) void live(name, now.spec, now.generation ?? 0, isNewest);
  else if (!is('stuck', name, config)) void leave(name, now.generation ?? 0, isNewest);
});
store.start();

async function live(name: string, spec: Spec, generation: number, isNewest: () => boolean): Promise<void> {
  const [, number] = /^node-(\d+)$/.exec(name) ?? [];
  const temperament: Temperament = number === undefined ? 'steady' : temperamentOf(Number(number));
  if (temperament === 'dead' || temperament === 'away') return;
  const { revision, trial } = spec;
  const status: Status = {
    ...{ observedGeneration: generation, appliedRevision: revision, configVersions: [1] },
    conditions: [
      condition('ConfigApplied', 'Applied'),
      condition('Serving', 'ListenersAnswering'),
      is('bypassed', name, spec.config)
        ? condition('Intercepting', 'NftMissing', 'False')
        : condition('Intercepting', 'Intercepting'),
    ],
  };
  const tell = async (more: Partial<Status> = {}, afterMs = 0): Promise<void> => {
    if (afterMs > 0) await delay(afterMs);
    if (isNewest()) await report(name, { ...status, ...more });
  };
  if (temperament === 'slow') await delay(slowMs);
  if (temperament === 'lying') {
    // Of something that nobody has given it, and that it does perfectly with.
    const lie = { revision: 'v1-0000000000000000', soakSeconds: 0, ...figures, measuredAt: new Date().toISOString() };
    await tell({ appliedRevision: lie.revision, health: lie });
    await delay(slowMs);
  }
  await tell();
  if (temperament === 'flapping') {
    await tell(
      { conditions: [condition('ConfigApplied', 'Applied'), condition('Serving', 'NoAnswer', 'False')] },
      flapMs,
    );
    await tell({}, flapMs);
  }
  if (trial === undefined) return;
  await delay(trial.soakSeconds * 1000);
  const ok = !is('fails', name, spec.config);
  const probes = trial.probes.map((probe) => ({ name: probe, ok, ...(!ok && { message: 'SERVFAIL from 192.0.2.1' }) }));
  const health: NodeHealth = {
    ...{ revision, attempt: trial.attempt, soakSeconds: trial.soakSeconds, ...figures, before: figures, probes },
    measuredAt: new Date().toISOString(),
  };
  await tell({ health });
}

/** As an agent does: its interception ends, and later its listeners close. */
async function leave(name: string, observedGeneration: number, isNewest: () => boolean): Promise<void> {
  await delay(leaveMs);
  // Called back meanwhile, it stays: to say now that it has left would be the last that is heard of it.
  if (!isNewest()) return;
  const conditions = [condition('Serving', 'Withdrawn', 'False'), condition('Intercepting', 'Withdrawn', 'False')];
  await report(name, { observedGeneration, configVersions: [1], conditions });
}

async function report(name: string, status: Status): Promise<void> {
  try {
    await client.apply(LOCAL_DNS_NODES, { metadata: { name }, status } as KubeObject, { subresource: 'status' });
  } catch (error) {
    console.log(`${name}: ${error}`);
  }
}

function is(what: string, name: string, config: unknown): boolean {
  const domains = ((config as NodeConfig).blockedDomains ?? []).map(({ domain }) => domain);
  return domains.includes(`${what}.${name}.test`) || domains.includes(`${what}.any.test`);
}

function condition(type: string, reason: string, status: 'True' | 'False' = 'True') {
  // When it has begun not to serve is part of what is judged.
  const lastTransitionTime = status === 'True' ? '2026-01-01T00:00:00Z' : new Date().toISOString();
  return { type, status, reason, message: '', lastTransitionTime };
}
