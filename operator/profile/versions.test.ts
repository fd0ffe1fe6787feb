import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { LocalDnsNode } from '../../api/v1alpha1/node.ts';
import { type NodeConfig, readVersions } from '../../api/v1alpha1/node-config.ts';
import type { LocalDnsProfile } from '../../api/v1alpha1/profile.ts';
import { defaultProfileSpec } from '../../api/v1alpha1/profile-defaults.ts';
import { nodeFacts, type WrittenFacts, writtenFacts } from './facts.ts';
import { type ClusterFacts, judge, maxConfigBytes, rememberingJudge } from './judge.ts';
import { makePlan, type Plan } from './plan.ts';
import { renderNodeConfig } from './render.ts';
import { intentOf, revisionName } from './revisions.ts';
import type { RolloutState } from './rollout-state.ts';
import { profileStatus } from './status.ts';
import { configsOf, misfit, type Renderer, type Renderers, render, renderers } from './versions.ts';

const clusterDns = { namespace: 'kube-system', service: 'kube-dns', addresses: ['10.96.0.10'] };
const cluster: ClusterFacts = { clusterDns, ranges: [], serviceTarget: () => ({ kind: 'unknown' }) };

/** As a release to come may write it. */
const second: Renderer = (...input) => ({ ...renderNodeConfig(...input), formatVersion: 2 }) as unknown as NodeConfig;
const both: Renderers = new Map([
  [1, renderNodeConfig],
  [2, second],
]);
const secondAlone: Renderers = new Map([[2, second]]);

const profile: LocalDnsProfile = { metadata: { name: 'p', uid: 'p' }, spec: {} };
const revision = revisionName(profile, intentOf({}));

/** What the agents of these nodes say; a node that is undefined has had no agent yet. */
type Agents = Readonly<Record<string, LocalDnsNode['status']>>;

const writtenFor = (name: string, status: LocalDnsNode['status']): WrittenFacts | undefined =>
  status &&
  writtenFacts({
    metadata: { name, generation: 1 },
    spec: { profile: 'p', profileRevision: revision, revision: 'v1-then', config: { formatVersion: 1 } },
    status,
  });

function plan(agents: Agents, by: Renderers, written = writtenFor): Plan {
  const world = {
    profiles: [profile],
    nodes: Object.keys(agents).map((name) =>
      nodeFacts({ metadata: { name, labels: { 'localdns.dev/profile': 'p' } } }),
    ),
    written: (name: string) => written(name, agents[name]),
    sighting: () => undefined,
    cluster,
    revision: () => undefined,
    configOf: () => undefined,
    gifts: new Map(),
    nowMs: 0,
  };
  const judge = rememberingJudge(by);
  const first = makePlan({ ...world, state: () => undefined }, judge);
  const state = (): RolloutState | undefined => first.profiles.get('p')?.course?.state;
  return makePlan({ ...world, state }, judge);
}

function formats({ intents }: Plan): Record<string, string> {
  return Object.fromEntries(
    [...intents].map(([name, intent]) => [
      name,
      intent.kind === 'serve' ? `${intent.config.formatVersion} ${intent.revision.slice(0, 3)}` : intent.kind,
    ]),
  );
}

test('each node gets the newest format that its agent reads, and one that has said nothing yet the newest', () => {
  const agents: Agents = {
    new: { agentVersion: '2.0.0', configVersions: [1, 2] },
    old: { agentVersion: '1.1.0', configVersions: [1] },
    silent: { agentVersion: '1.0.0' },
    waiting: {},
    tomorrow: { agentVersion: '3.0.0', configVersions: [2, 3] },
  };
  const outcome = plan(agents, both);
  deepEqual(formats(outcome), { new: '2 v2-', old: '1 v1-', silent: '1 v1-', waiting: '2 v2-', tomorrow: '2 v2-' });
  deepEqual(formats(plan({ unborn: undefined }, both)), { unborn: '2 v2-' });
  const { revision: newest, revisions, misfits } = outcome.profiles.get('p') ?? {};
  equal(newest?.slice(0, 3), 'v2-');
  deepEqual(
    revisions?.map((one) => one.slice(0, 3)),
    ['v2-', 'v1-'],
  );
  equal(misfits?.size, 0);
});

test('a node whose agent reads nothing of what is written keeps what it has, and is named with the remedy', () => {
  const agents: Agents = {
    old: { agentVersion: '1.1.0', configVersions: [1] },
    new: { agentVersion: '2.0.0', configVersions: [1, 2] },
  };
  const outcome = plan(agents, secondAlone);
  deepEqual(formats(outcome), { old: 'keep', new: '2 v2-' });
  const own = outcome.profiles.get('p');
  ok(own !== undefined);
  match(
    own.misfits.get('old')?.message ?? '',
    /agent \(1\.1\.0\) reads configuration format 1, and this operator writes 2: upgrade/,
  );
  const { conditions = [] } = statusOf(outcome, agents);
  const [programmed, degraded] = ['Programmed', 'Degraded'].map((type) => conditions.find((one) => one.type === type));
  equal(programmed?.status, 'False');
  deepEqual([degraded?.status, degraded?.reason], ['True', 'AgentTooOld']);
  match(degraded?.message ?? '', /old: its agent \(1\.1\.0\)/);
});

test('where the agent is the newer one the operator is to be upgraded', () => {
  const renderings = render(configsOf([defaultProfileSpec({}), clusterDns, []], renderers));
  match(
    misfit('9', [2, 3], renderings).message,
    /reads configuration format 2, 3, and this operator writes 1: upgrade the operator$/,
  );
  equal(misfit('9', [2, 3], renderings).reason, 'AgentTooNew');
  match(misfit('1', [], renderings).message, /reads no configuration format, and .*: upgrade the agent$/);
  equal(misfit('1', [0], renderings).reason, 'AgentTooOld');
});

test('it holds up no rollout: the others go on', () => {
  const outcome = plan({ old: { agentVersion: '1', configVersions: [1] }, unborn: undefined }, secondAlone);
  deepEqual([...outcome.gifts.keys()], ['unborn']);
});

test('nodes are ready by the revision of their own format', () => {
  const outcome = plan({ new: { agentVersion: '2', configVersions: [2] }, old: { agentVersion: '1' } }, both);
  const served = (name: string, configVersions: number[]) => {
    const intent = outcome.intents.get(name);
    ok(intent?.kind === 'serve');
    const conditions = [{ type: 'Serving', status: 'True' as const, reason: '', message: '', lastTransitionTime: '' }];
    return { agentVersion: '1', configVersions, appliedRevision: intent.revision, conditions };
  };
  const agents = { new: served('new', [2]), old: served('old', [1]) };
  deepEqual(statusOf(outcome, agents).nodes, { selected: 2, updated: 2, ready: 2, failed: 0 });
});

test('an agent that refuses the newest format, and says only then what it reads, fails no rollout', () => {
  const conditions = [
    { type: 'ConfigApplied', status: 'False' as const, reason: 'Refused', message: '', lastTransitionTime: '' },
  ];
  const written = (name: string, status: LocalDnsNode['status']) => {
    const facts = writtenFor(name, status);
    return facts && { ...facts, revision: 'v2-new', isIntact: true };
  };
  const outcome = plan({ n: { agentVersion: '1.0.0', conditions } }, both, written);
  deepEqual(formats(outcome), { n: '1 v1-' });
  equal(outcome.profiles.get('p')?.course?.state.reason, undefined);
  const bad = plan({ n: { agentVersion: '2.0.0', configVersions: [1, 2], conditions } }, both, written);
  equal(bad.profiles.get('p')?.course?.state.reason, 'ConfigRefused');
});

test('what is written today, agents of today read', () => {
  deepEqual([...renderers.keys()], [...readVersions]);
  const page = readFileSync(new URL('../../api/VERSIONING.md', import.meta.url), 'utf8');
  match(page, new RegExp(`that the operator writes \\| ${[...renderers.keys()].join(', ')} \\|`));
});

function statusOf(outcome: Plan, agents: Agents) {
  const own = outcome.profiles.get('p');
  ok(own !== undefined);
  return profileStatus({
    profile,
    plan: own,
    node: (name) => nodeFacts({ metadata: { name } }),
    written: (name) => writtenFor(name, agents[name]),
    clusterDns,
    isClusterDnsFound: true,
    nowMs: 0,
  });
}

test('of a configuration that is too large the size is found, and no hash', () => {
  let reads = 0;
  const long = (length: number): Renderer => {
    return (...input) => ({
      ...renderNodeConfig(...input),
      get clusterDomain() {
        reads += 1;
        return 'x'.repeat(length);
      },
    });
  };
  const readsOf = (length: number): number => {
    reads = 0;
    judge({}, cluster, new Map([[1, long(length)]]));
    return reads;
  };
  equal(readsOf(maxConfigBytes), 1);
  equal(readsOf(1), 2);
});
