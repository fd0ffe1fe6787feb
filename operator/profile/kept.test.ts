import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LocalDnsProfile, ProfileSpec } from '../../api/v1alpha1/profile.ts';
import { type NodeFacts, nodeFacts, type WrittenFacts } from './facts.ts';
import type { ClusterFacts } from './judge.ts';
import { type Intent, makePlan, type World } from './plan.ts';
import { intentOf, type RevisionFacts, revisionFacts, revisionName } from './revisions.ts';
import type { RolloutState } from './rollout-state.ts';

/** Cluster DNS has moved there since the nodes were given what they have. */
const clusterDns = { namespace: 'kube-system', service: 'kube-dns', addresses: ['10.96.0.77'] };
const gone = { kind: 'unusable', reason: 'gone' } as const;
const cluster: ClusterFacts = { clusterDns, ranges: [], serviceTarget: () => gone };
const profile = (name: string, spec: ProfileSpec): LocalDnsProfile => ({ metadata: { name }, spec });
const node = (name: string, wanted: string): NodeFacts =>
  nodeFacts({ metadata: { name, uid: `uid-${name}`, labels: { 'localdns.dev/profile': wanted } } });

/** A revision as it is stored, of the profile `giver`. */
function stored(spec: ProfileSpec): RevisionFacts {
  const name = revisionName(profile('giver', {}), intentOf(spec));
  return revisionFacts({ metadata: { name }, data: { spec: intentOf(spec) }, revision: 1 });
}

const before: ProfileSpec = { searchPath: 'Spec' };
const trial = { soakSeconds: 60, probes: [] };
const given: WrittenFacts = {
  ...{
    name: 'n',
    uid: '',
    ownerUid: 'uid-n',
    profile: 'giver',
    revision: 'v1-then',
    profileRevision: stored(before).name,
  },
  ...{ trial, writtenAtMs: 0, withdrawnAtMs: undefined, hasLeft: false, isIntact: true },
  report: {
    ...{ appliedRevision: 'v1-then', isServing: true, isRefused: false },
    ...{ measures: true, health: undefined, failure: undefined },
  },
};

interface Scene {
  readonly giver?: ProfileSpec | null;
  readonly heir?: ProfileSpec;
  readonly heirState?: RolloutState;
  readonly label?: string;
  readonly written?: Partial<WrittenFacts>;
  readonly kept?: ProfileSpec;
  readonly more?: Partial<World>;
}

/** Of a node that carries a revision of `giver`, whose own nodes carry what an edit has made of it. */
function intentFor({
  giver = { searchPath: 'Report' },
  heir,
  heirState,
  label = 'heir',
  written,
  kept = before,
  more = {},
}: Scene) {
  const there = giver === null ? [] : [profile('giver', giver)];
  const all = [...there, ...(heir === undefined ? [] : [profile('heir', heir)])];
  const edited = giver === null ? '' : revisionName(profile('giver', {}), intentOf(giver));
  const done: RolloutState = { phase: 'Done', target: edited, good: edited, startedAt: 's' };
  const revisions = new Map([stored(kept), stored(giver ?? {})].map((one) => [one.name, one]));
  const { intents } = makePlan({
    ...{ profiles: all, nodes: [node('n', label)], cluster, gifts: new Map(), nowMs: 0 },
    written: (name) => (name === 'n' ? { ...given, profileRevision: stored(kept).name, ...written } : undefined),
    sighting: () => undefined,
    revision: (name) => revisions.get(name),
    configOf: () => undefined,
    state: ({ metadata }) => (metadata.name === 'giver' ? done : heirState),
    ...more,
  });
  return intents.get('n');
}

/** It follows the cluster by the revision that it has, and is given nothing. */
function follows(intent: Intent | undefined, searchPath: ProfileSpec['searchPath'] = 'Spec'): void {
  assert.ok(intent?.kind === 'serve');
  const { profileRevision, gift, isKept, config } = intent;
  assert.deepEqual([intent.profile, gift, isKept], ['giver', undefined, true]);
  assert.equal(profileRevision, stored(searchPath === undefined ? {} : { searchPath }).name);
  assert.deepEqual([config.clusterDNS.addresses, config.searchPath], [['10.96.0.77'], searchPath]);
}

const heirRevision = revisionName(profile('heir', {}), {});
const waits: readonly (readonly [string, Scene])[] = [
  ['is paused', { heir: { rollout: { paused: true } } }],
  ['was never accepted', { heir: { kubeDNSOverrides: { '.': { forwardDestination: 'nowhere' } } } }],
  ['has halted', { heir: {}, heirState: { phase: 'Halted', target: heirRevision, startedAt: 's', reason: 'R' } }],
  ['has nothing written down yet', { heir: {} }],
  ['does not exist', { label: 'typo' }],
];

for (const [what, scene] of waits) {
  test(`a node that waits for a profile that ${what} follows the cluster by what it has`, () => {
    follows(intentFor(scene));
  });
}

test('it does so whatever the profile that gave it has come to: paused, disabled, refused or halted', () => {
  const label = 'typo';
  follows(intentFor({ label, giver: { searchPath: 'Report', rollout: { paused: true } } }));
  follows(intentFor({ label, giver: { searchPath: 'Report', mode: 'Disabled' } }));
  follows(intentFor({ label, giver: { kubeDNSOverrides: { '.': { forwardDestination: 'nowhere' } } } }));
  const state = (): RolloutState => ({ phase: 'Halted', target: stored({}).name, startedAt: 's', reason: 'R' });
  follows(intentFor({ label, more: { state } }));
});

test('what that profile serves itself is what it means here too', () => {
  const same: Scene = { label: 'typo', giver: { searchPath: 'Report' }, kept: { searchPath: 'Report' } };
  follows(intentFor(same), 'Report');
  // Also before it is known that it is kept.
  follows(intentFor({ ...same, more: { revision: () => undefined } }), 'Report');
});

test('who is given something by the other is not kept', () => {
  const heirState: RolloutState = { phase: 'Batch', target: heirRevision, startedAt: 's', attempt: 1 };
  const intent = intentFor({ heir: { rollout: { canary: { nodes: 0 } } }, heirState });
  assert.ok(intent?.kind === 'serve' && intent.profile === 'heir' && !intent.isKept && intent.gift !== undefined);
});

test('a node keeps what it has as it stands where nobody can say what that means, or it is on its way out', () => {
  const label = 'typo';
  const { report } = given;
  for (const [what, scene] of Object.entries<Scene>({
    'the profile is not there': { giver: null },
    'the revision is not kept': { written: { profileRevision: 'giver-forgotten' } },
    'an operator of before revisions wrote it': { written: { profileRevision: undefined } },
    'its agent reads nothing of what is written': { written: { report: { ...report, configVersions: [99] } } },
    'it is taken out': { written: { withdrawnAtMs: 1 } },
    'it was written for another machine': { written: { ownerUid: 'another' } },
    'nothing is known of the profile yet': {
      more: { state: () => undefined },
      giver: redirected('Preferred', 'unknown'),
    },
  })) {
    const target = { kind: 'unknown' } as const;
    const more = { cluster: { ...cluster, serviceTarget: () => target }, ...scene.more };
    assert.deepEqual(intentFor({ label, ...scene, more }), { kind: 'keep' }, what);
  }
  const nobody = intentFor({ label, more: { withdraws: true } });
  assert.deepEqual(nobody, { kind: 'unserve' });
});

function redirected(mode: 'Required' | 'Preferred', name: string): ProfileSpec {
  const target = { serviceRef: { namespace: 'emulator', name } };
  return { mode, redirects: [{ name: 'service', match: { suffixes: ['example'] }, target }] };
}

test('under Required a redirect whose Service is gone leads where it led, as that node says itself', () => {
  const spec = redirected('Required', 'cloud');
  const redirect = { name: 'service', match: {}, addresses: ['10.96.0.50'], ttlSeconds: 1, otherTypes: 'NoData' };
  const configs: Record<string, object> = { 'v1-then': { redirects: [redirect] } };
  const configOf = (revision: string) => configs[revision] as ReturnType<World['configOf']>;
  const look = (more: Partial<World>) => intentFor({ label: 'typo', giver: spec, kept: spec, more });
  const intent = look({ configOf });
  assert.ok(intent?.kind === 'serve');
  assert.deepEqual(intent.config.clusterDNS.addresses, ['10.96.0.77']);
  assert.deepEqual(intent.config.redirects?.[0]?.addresses, ['10.96.0.50']);
  assert.deepEqual(look({}), { kind: 'keep' });
  // Of the nodes of the profile itself it is said that they keep what they have as it stands.
  const own = { ...given, name: 'own', ownerUid: 'uid-own', revision: 'v1-unseen', profileRevision: stored(spec).name };
  const written = (name: string) =>
    name === 'own' ? own : { ...own, name, ownerUid: `uid-${name}`, revision: 'v1-then' };
  const state = (): RolloutState => ({
    phase: 'Done',
    target: stored(spec).name,
    good: stored(spec).name,
    startedAt: 's',
  });
  const { intents } = makePlan({
    ...{
      profiles: [profile('giver', spec)],
      nodes: [node('own', 'giver'), node('n', 'typo')],
      cluster,
      gifts: new Map(),
    },
    ...{ written, sighting: () => undefined, revision: () => stored(spec), configOf, state, nowMs: 0 },
  });
  assert.deepEqual(
    [...intents.values()].map(({ kind }) => kind),
    ['keep', 'serve'],
  );
});

test('what is left of a profile that is being deleted is rendered no more', () => {
  const leaving = profile('giver', {});
  leaving.metadata.deletionTimestamp = '1970-01-01T00:00:00Z';
  const profiles = [leaving, profile('heir', { rollout: { paused: true } })];
  assert.deepEqual(intentFor({ more: { profiles } }), { kind: 'keep' });
});
