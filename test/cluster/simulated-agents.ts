/**
 * Agents of many nodes in one process, as far as the API server sees of them: each applies what its LocalDnsNode says, serves, and reports
 * its health when its trial is over. A blocked domain tells what becomes of a configuration: `fails.NODE.test` makes the probes of that node
 * fail, `silent.NODE.test` keeps it from ever applying it, `stuck.NODE.test` from leaving; `any` is every node.
 *
 *   node simulated-agents.ts KUBECONFIG
 */
import { agentManager } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode, NodeHealth } from '../../api/v1alpha1/node.ts';
import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import { KubeClient } from '../../kube/client.ts';
import { readAccess } from '../../kube/kubeconfig.ts';
import type { KubeObject } from '../../kube/resource.ts';
import { Store } from '../../kube/store.ts';
import { LOCAL_DNS_NODES } from '../../operator/profile/world.ts';

type Status = NonNullable<LocalDnsNode['status']>;

const [path = ''] = process.argv.slice(2);
const client = new KubeClient({
  access: () => readAccess({ path, env: {} }),
  fieldManager: agentManager,
  userAgent: 'simulated-agents',
});
const trials = new Map<string, NodeJS.Timeout>();
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
  const { revision, trial, config, withdrawnAt } = now.spec;
  if (is('silent', name, config)) return;
  if (withdrawnAt !== undefined) {
    clearTimeout(trials.get(name));
    if (!is('stuck', name, config)) void leave(name, now.generation ?? 0);
    return;
  }
  const isBack = old?.spec.withdrawnAt !== undefined;
  const isNew = isBack || revision !== old?.spec.revision || now.spec.profileRevision !== old?.spec.profileRevision;
  const status: Status = {
    ...{ observedGeneration: now.generation ?? 0, appliedRevision: revision, configVersions: [1] },
    conditions: [
      condition('ConfigApplied', 'Applied'),
      condition('Serving', 'ListenersAnswering'),
      condition('Intercepting', 'Intercepting'),
    ],
  };
  if (!isNew) return;
  clearTimeout(trials.get(name));
  void report(name, status);
  if (trial === undefined) return;
  const ok = !is('fails', name, config);
  const probes = trial.probes.map((probe) => ({ name: probe, ok, ...(!ok && { message: 'SERVFAIL from 192.0.2.1' }) }));
  const figures = { queries: 1000, servFailPermille: 1, p99Micros: 2000 };
  const tell = (): void => {
    const measuredAt = new Date().toISOString();
    const health: NodeHealth = {
      revision,
      soakSeconds: trial.soakSeconds,
      ...figures,
      before: figures,
      probes,
      measuredAt,
    };
    void report(name, { ...status, health });
  };
  trials.set(name, setTimeout(tell, trial.soakSeconds * 1000));
});
store.start();

/** As an agent does: its interception ends, and later its listeners close. */
async function leave(name: string, observedGeneration: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 300));
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
  return { type, status, reason, message: '', lastTransitionTime: '2026-01-01T00:00:00Z' };
}
