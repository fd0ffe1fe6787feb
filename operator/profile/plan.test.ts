import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LocalDnsProfile, ProfileSpec } from '../../api/v1alpha1/profile.ts';
import type { ServiceTarget } from '../../api/v1alpha1/profile-parts.ts';
import { type NodeFacts, nodeFacts, type WrittenFacts } from './facts.ts';
import { type ClusterFacts, maxConfigBytes, rememberingJudge } from './judge.ts';
import { makePlan, type Plan, type World } from './plan.ts';
import { intentOf, type RevisionFacts, revisionFacts, revisionName } from './revisions.ts';
import type { RolloutState } from './rollout.ts';

const clusterDns = { namespace: 'kube-system', service: 'kube-dns', addresses: ['10.96.0.10'] };
const cluster: ClusterFacts = { clusterDns, ranges: [], serviceTarget: () => ({ kind: 'unknown' }) };
const profile = (name: string, spec: ProfileSpec): LocalDnsProfile => ({ metadata: { name }, spec });
const node = (name: string, wanted?: string): NodeFacts =>
  nodeFacts({ metadata: { name, labels: wanted === undefined ? {} : { 'localdns.dev/profile': wanted } } });
const kinds = (plan: Plan): Record<string, string> =>
  Object.fromEntries([...plan.intents].map(([name, { kind }]) => [name, kind]));

/** With the states written down that it asks for: what follows is what nodes are given. */
function plan(profiles: LocalDnsProfile[], nodes: NodeFacts[], more: Partial<World> = {}): Plan {
  const state = (of: LocalDnsProfile): RolloutState | undefined => first.profiles.get(of.metadata.name)?.course?.state;
  const common = {
    profiles,
    nodes,
    written: () => undefined,
    sighting: () => undefined,
    cluster,
    revision: () => undefined,
    gifts: new Map(),
    nowMs: 0,
  };
  const first = makePlan({ ...common, state: () => undefined, ...more });
  return makePlan({ ...common, state, ...more });
}

test('a selected node is served with the rendered configuration and its revision', () => {
  const { intents, profiles, gifts } = plan([profile('p', {})], [node('n', 'p'), node('other')]);
  const intent = intents.get('n');
  assert.ok(intent?.kind === 'serve');
  assert.equal(intent.profile, 'p');
  assert.deepEqual(intent.config.clusterDNS, clusterDns);
  assert.equal(intent.revision, profiles.get('p')?.revision);
  assert.deepEqual([...gifts.keys()], ['n']);
  assert.equal(intent.profileRevision, revisionName(profile('p', {}), {}));
  assert.equal(intents.get('other')?.kind, 'unserve');
});

test('a profile that is not valid keeps what its nodes have, and names the field', () => {
  const bad = profile('p', { kubeDNSOverrides: { '.': { forwardDestination: 'nowhere' } } });
  const outcome = plan([bad], [node('n', 'p')]);
  assert.deepEqual(kinds(outcome), { n: 'keep' });
  assert.equal(outcome.profiles.get('p')?.errors[0]?.field, 'spec.kubeDNSOverrides["."]');
  assert.equal(outcome.gifts.size, 0);
});

test('a disabled profile claims its nodes and does not serve them, nor lets a lower priority do it', () => {
  const disabled = profile('off', { mode: 'Disabled', nodeSelector: {}, priority: 1 });
  const lower = profile('on', { nodeSelector: {} });
  const outcome = plan([disabled, lower], [node('n')]);
  assert.deepEqual(kinds(outcome), { n: 'unserve' });
  assert.deepEqual(outcome.profiles.get('off')?.selected, ['n']);
  assert.deepEqual(outcome.profiles.get('on')?.selected, []);
});

test('a label that names no profile keeps what the node has', () => {
  const outcome = plan([profile('p', {})], [node('n', 'lost')]);
  assert.deepEqual(kinds(outcome), { n: 'keep' });
  assert.deepEqual([...outcome.missing], [['n', 'lost']]);
});

test('nobody is given anything before it is written down that it is to be', () => {
  const { gifts, profiles } = plan([profile('p', {})], [node('n', 'p')], { state: () => undefined });
  assert.equal(gifts.size, 0);
  assert.ok(profiles.get('p')?.course?.isNews);
});

/** A revision as it is stored, of the profile p. */
function stored(spec: ProfileSpec): RevisionFacts {
  const name = revisionName(profile('p', {}), intentOf(spec));
  return revisionFacts({ metadata: { name }, data: { spec: intentOf(spec) }, revision: 1 });
}
/** A node that carries a revision, and serves it as it was rendered once. */
const carrying = (revision: string): WrittenFacts => ({
  ...{ name: 'n', uid: '', ownerUid: '', profile: 'p', revision: 'v1-then', profileRevision: revision },
  ...{ trial: undefined, writtenAtMs: 0, withdrawnAtMs: undefined, hasLeft: false, isIntact: true },
  report: {
    ...{ appliedRevision: 'v1-then', isServing: true, isRefused: false },
    ...{ measures: true, health: undefined, failure: undefined },
  },
});

test('what the cluster is like goes out at once, to each node under the revision that it carries', () => {
  const [old, edited] = [{ searchPath: 'Spec' }, { searchPath: 'Report' }] as const;
  const { name: good } = stored(old);
  const target = revisionName(profile('p', {}), edited);
  const outcome = plan([profile('p', edited)], [node('n', 'p'), node('m', 'p')], {
    written: (name) => ({
      ...carrying(name === 'n' ? good : target),
      name,
      ...(name === 'm' && { trial: { soakSeconds: 60, probes: [] } }),
    }),
    revision: (name) => (name === good ? stored(old) : undefined),
    state: () => ({ phase: 'Canary', target, good, startedAt: 's' }),
  });
  const searchPaths = ['n', 'm'].map((name) => {
    const intent = outcome.intents.get(name);
    assert.ok(intent?.kind === 'serve' && intent.gift === undefined);
    assert.deepEqual(intent.config.clusterDNS, clusterDns);
    return intent.config.searchPath;
  });
  assert.deepEqual(searchPaths, ['Spec', 'Report']);
});

test('a node whose revision is no longer kept has what it has until its turn comes', () => {
  const outcome = plan([profile('p', { searchPath: 'Spec' })], [node('n', 'p'), node('m', 'p')], {
    written: (name) => ({ ...carrying('p-forgotten'), name }),
    state: () => undefined,
  });
  assert.deepEqual(kinds(outcome), { n: 'keep', m: 'keep' });
});

test('an edit that is refused leaves the revision that was accepted last on its way', () => {
  const { name: good } = stored({});
  const bad = profile('p', { kubeDNSOverrides: { '.': { forwardDestination: 'nowhere' } } });
  const outcome = plan([bad], [node('n', 'p'), node('new', 'p')], {
    written: (name) => (name === 'n' ? carrying(good) : undefined),
    revision: () => stored({}),
    state: () => ({ phase: 'Done', target: good, good, startedAt: 's' }),
  });
  assert.deepEqual(kinds(outcome), { n: 'serve', new: 'serve' });
  assert.equal(outcome.profiles.get('p')?.errors.length, 1);
});

test('a node that came anew under its name carries nothing yet, whatever is told of the machine before it', () => {
  const { name: good } = stored({});
  const again = { ...node('n', 'p'), uid: 'another' };
  const { gifts } = plan([profile('p', {})], [again], {
    written: () => carrying(good),
    state: () => ({ phase: 'Done', target: good, good, startedAt: 's' }),
  });
  assert.deepEqual([...gifts.keys()], ['n']);
});

test('where what is good is gone, or its Service under Required, a change that fails halts, and says why', () => {
  const good = stored({ redirects: [{ name: 'a', match: { suffixes: ['a.example'] }, target: service }] });
  const target = revisionName(profile('p', {}), intentOf({}));
  const refused = { ...carrying(target).report, appliedRevision: '', isRefused: true, failure: 'too new' };
  const fails = (
    serviceTarget: ServiceTarget,
    kept: RevisionFacts | undefined,
    phase: 'Canary' | 'Halted' | 'RolledBack',
  ) => {
    const { profiles } = plan([profile('p', { mode: 'Required' })], [node('n', 'p'), node('m', 'p')], {
      cluster: { ...cluster, serviceTarget: () => serviceTarget },
      written: (name) => ({
        ...carrying(name === 'n' ? target : good.name),
        name,
        ...(name === 'n' && { report: refused }),
      }),
      revision: (name) => (name === good.name ? kept : undefined),
      state: () => ({
        phase,
        target,
        good: good.name,
        attempt: 1,
        startedAt: 's',
        ...(phase !== 'Canary' && { reason: 'ConfigRefused' }),
      }),
    });
    const { state, goodLost } = profiles.get('p')?.course ?? assert.fail();
    return [state.phase, goodLost];
  };
  const here: ServiceTarget = { kind: 'addresses', addresses: ['10.96.0.50'] };
  assert.deepEqual(fails(here, good, 'Canary'), ['RollingBack', undefined]);
  assert.deepEqual(fails(here, undefined, 'Canary'), ['Halted', 'is not kept any more']);
  assert.deepEqual(fails(gone, good, 'Canary'), ['Halted', 'cannot be served as the cluster is now']);
  assert.deepEqual(fails({ kind: 'unknown' }, good, 'Canary'), ['RollingBack', undefined]);
  assert.deepEqual(fails(here, good, 'Halted'), ['RollingBack', undefined]);
  assert.deepEqual(fails(here, undefined, 'RolledBack')[0], 'RolledBack');
});

test('what was given is not forgotten before it is written', () => {
  const gift = { profile: 'p', revision: stored({}).name, trial: undefined, givenAtMs: 0 };
  const before = {
    gifts: new Map([['n', gift]]),
    state: () => ({ phase: 'Canary', target: stored({}).name, startedAt: 's' }) as const,
  };
  assert.equal(
    plan([profile('p', {})], [node('n', 'p')], { ...before, revision: () => stored({}) }).gifts.get('n'),
    gift,
  );
  const landed = plan([profile('p', {})], [node('n', 'p')], {
    ...before,
    revision: () => stored({}),
    written: () => carrying(gift.revision),
  });
  assert.notEqual(landed.gifts.get('n'), gift);
});

test('however long the API server takes for it, the node is not silent', () => {
  const [{ name: good }, { name: target }] = [stored({ searchPath: 'Spec' }), stored({})];
  const gift = { profile: 'p', revision: target, trial: { soakSeconds: 60, probes: [] }, givenAtMs: 0 };
  const { profiles } = plan([profile('p', {})], [node('n', 'p')], {
    gifts: new Map([['n', gift]]),
    written: () => carrying(good),
    revision: () => stored({ searchPath: 'Spec' }),
    state: () => ({ phase: 'Canary', target, good, startedAt: 's' }),
    nowMs: 600_000,
  });
  const { state, lookAgainAtMs = 0 } = profiles.get('p')?.course ?? assert.fail();
  assert.equal(state.phase, 'Canary');
  assert.ok(lookAgainAtMs > 600_000);
});

test('the canary soaks as long as it is told to, a batch for a moment, and both are probed', () => {
  const rollout = { canary: { soakSeconds: 300 }, probes: ['a.example'] };
  const { name: good } = stored({ searchPath: 'Spec' });
  const p = profile('p', { rollout });
  const target = revisionName(p, {});
  const more = { written: () => carrying(good), revision: () => stored({ searchPath: 'Spec' }) };
  const trials = (['Canary', 'Batch'] as const).map((phase) => {
    const { gifts } = plan([p], [node('n', 'p')], { ...more, state: () => ({ phase, target, good, startedAt: 's' }) });
    return gifts.get('n')?.trial;
  });
  assert.deepEqual(trials, [
    { soakSeconds: 300, probes: ['a.example'], attempt: 1 },
    { soakSeconds: 10, probes: ['a.example'], attempt: 1 },
  ]);
});

test('a configuration that is too large is told, and not rolled out', () => {
  const blockedDomains = Array.from({ length: 1024 }, (_, at) => ({ domain: `${'a'.repeat(60)}.${at}.example` }));
  const outcome = plan([profile('p', { blockedDomains })], [node('n', 'p')]);
  assert.deepEqual(kinds(outcome), { n: 'keep' });
  const { errors, refusal } = outcome.profiles.get('p') ?? {};
  assert.equal(refusal, 'TooLarge');
  assert.match(errors?.[0]?.message ?? '', new RegExp(`would be \\d+ bytes, and ${maxConfigBytes} are the most`));
});

test('whom a profile serves and how it is rolled out is no part of a revision, nor is the order of fields', () => {
  const p = profile('p', {});
  const name = revisionName(p, intentOf({ searchPath: 'Spec', hosts: [] }));
  const same = {
    hosts: [],
    searchPath: 'Spec',
    mode: 'Required',
    priority: 3,
    nodeSelector: {},
    rollout: { paused: true },
  } as const;
  assert.equal(revisionName(p, intentOf({ ...same, hosts: [] })), name);
  assert.notEqual(revisionName(p, intentOf({ searchPath: 'Report', hosts: [] })), name);
  assert.notEqual(revisionName({ metadata: { name: 'p', uid: 'another' } }, intentOf({ ...same, hosts: [] })), name);
});

test('a profile is judged again when it or what it refers to changes, and not before', () => {
  const judge = rememberingJudge();
  const p = profile('p', {
    redirects: [
      { name: 'a', match: { suffixes: ['example'] }, target: { serviceRef: { namespace: 'emulator', name: 'cloud' } } },
    ],
  });
  const at = (address: string): ServiceTarget => ({ kind: 'addresses', addresses: [address] });
  const facts = { ...cluster, serviceTarget: () => at('10.96.0.50') };
  const first = judge(p.spec, facts);
  assert.equal(
    judge(p.spec, { ...facts, clusterDns: { ...clusterDns }, serviceTarget: () => at('10.96.0.50') }),
    first,
  );
  assert.notEqual(judge({}, facts), first);
  for (const change of [
    { clusterDns: { ...clusterDns, addresses: ['10.96.0.11'] } },
    { serviceTarget: () => at('10.96.0.51') },
  ]) {
    const moved = judge(p.spec, { ...facts, ...change });
    assert.ok(moved.kind === 'rendered' && first.kind === 'rendered');
    assert.notEqual(moved.revision, first.revision);
    judge(p.spec, facts);
  }
});

const service = { serviceRef: { namespace: 'emulator', name: 'cloud' } };
const address = { addresses: ['192.0.2.1'] };
const redirecting = (mode: 'Preferred' | 'Required'): LocalDnsProfile =>
  profile('p', {
    mode,
    redirects: [
      { name: 'patterns', match: { patterns: ['(?=x)', 'y.*'] }, target: address },
      { name: 'service', match: { suffixes: ['example'] }, target: service },
    ],
  });
const gone: ServiceTarget = { kind: 'unusable', reason: 'Service emulator/cloud does not exist' };

test('Preferred leaves out what only the operator can judge, serves the rest and names each field', () => {
  const outcome = plan([redirecting('Preferred')], [node('n', 'p')], {
    cluster: { ...cluster, serviceTarget: () => gone },
  });
  const intent = outcome.intents.get('n');
  assert.ok(intent?.kind === 'serve');
  assert.deepEqual(
    intent.config.redirects?.map(({ name, match }) => [name, match.patterns]),
    [['patterns', ['y.*']]],
  );
  assert.deepEqual(
    outcome.profiles.get('p')?.leftOut.map(({ field }) => field),
    ['spec.redirects[0].match.patterns[0]', 'spec.redirects[1].target.serviceRef'],
  );
  assert.deepEqual(outcome.profiles.get('p')?.errors, []);
});

test('Required refuses the whole for it, and nodes keep what they have', () => {
  const outcome = plan([redirecting('Required')], [node('n', 'p')], {
    cluster: { ...cluster, serviceTarget: () => gone },
  });
  assert.deepEqual(kinds(outcome), { n: 'keep' });
  assert.equal(outcome.profiles.get('p')?.errors.length, 2);
});

test('before a Service is known nothing is decided about the profile that refers to it', () => {
  for (const mode of ['Preferred', 'Required'] as const) {
    const outcome = plan([redirecting(mode)], [node('n', 'p')]);
    assert.deepEqual(kinds(outcome), { n: 'keep' });
    assert.ok(outcome.profiles.get('p')?.isUnknown);
  }
});

test('networks of pods and Services are rendered for protection.privateReverse', () => {
  const { intents } = plan([profile('p', { protection: { privateReverse: { mode: 'NxDomain' } } })], [node('n', 'p')], {
    cluster: { ...cluster, ranges: ['10.244.0.0/16'] },
  });
  const intent = intents.get('n');
  assert.deepEqual(intent?.kind === 'serve' && intent.config.privateReverse, { exceptRanges: ['10.244.0.0/16'] });
});
