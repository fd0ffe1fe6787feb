import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LocalDnsProfile, ProfileSpec, ProfileStatus } from '../../api/v1alpha1/profile.ts';
import type { ServiceTarget } from '../../api/v1alpha1/profile-parts.ts';
import type { RolloutPhase } from '../../api/v1alpha1/rollout-settings.ts';
import { isSameState } from './course.ts';
import { type NodeFacts, nodeFacts, type WrittenFacts } from './facts.ts';
import { type ClusterFacts, maxConfigBytes, rememberingJudge } from './judge.ts';
import { makePlan, type Plan, type World } from './plan.ts';
import { intentOf, type RevisionFacts, revisionFacts, revisionName } from './revisions.ts';
import type { RolloutState } from './rollout-state.ts';
import type { Sighting } from './sightings.ts';

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
    configOf: () => undefined,
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

test('where nobody is to be served any more no label and no profile keeps anything', () => {
  const leaving = { ...profile('p', {}), metadata: { name: 'p', deletionTimestamp: '2026-01-01T00:00:00Z' } };
  const outcome = plan([leaving], [node('n', 'p'), node('lost', 'gone')], { withdraws: true });
  assert.deepEqual(kinds(outcome), { n: 'unserve', lost: 'unserve' });
  assert.equal(outcome.missing.size, 0);
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
    isBack = false,
  ) => {
    const { profiles } = plan([profile('p', { mode: 'Required' })], [node('n', 'p'), node('m', 'p')], {
      cluster: { ...cluster, serviceTarget: () => serviceTarget },
      written: (name) => ({
        ...carrying(name === 'n' && !isBack ? target : good.name),
        name,
        ...(name === 'n' && !isBack && { report: refused }),
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
  // Where all have returned nothing is left to be done; who comes back with what had failed stays where it is.
  assert.deepEqual(fails(here, undefined, 'RolledBack', true)[0], 'RolledBack');
  assert.deepEqual(fails(here, undefined, 'RolledBack'), ['Halted', 'is not kept any more']);
});

/** Nodes of a profile of which nobody is served, look after look; the spec is that of then, or an edit of it. */
function unserved(spec: ProfileSpec, before: RolloutState, more: Partial<World>) {
  const p = profile('p', spec);
  let state = before;
  let gifts: World['gifts'] = new Map();
  return (nowMs = 0) => {
    const outcome = plan([p], [node('m', 'p'), node('n', 'p')], { state: () => state, gifts, nowMs, ...more });
    const course = outcome.profiles.get('p')?.course ?? assert.fail();
    state = course.state;
    gifts = outcome.gifts;
    return { course, kinds: kinds(outcome), gifts, plan: outcome.profiles.get('p') };
  };
}

test('where what is good is lost and nobody is served, the edit is tried as a first revision is, and that stands in its trial', () => {
  const redirected: ProfileSpec = { redirects: [{ name: 'a', match: { suffixes: ['a.example'] }, target: service }] };
  const good = stored(redirected);
  const done = { phase: 'Done', target: good.name, good: good.name, attempt: 1, startedAt: 's' } as const;
  const isGone = { cluster: { ...cluster, serviceTarget: () => gone }, revision: () => good };
  for (const more of [isGone, { revision: () => undefined }]) {
    const look = unserved({ mode: 'Required', searchPath: 'Spec' }, done, more);
    const { state } = look().course;
    assert.deepEqual([state.phase, state.good, state.attempt], ['Canary', good.name, 2]);
    const given = look();
    assert.deepEqual(given.kinds, { m: 'serve', n: 'keep' });
    const [[name, gift] = assert.fail(), ...others] = given.gifts;
    assert.deepEqual([name, gift.revision, others], ['m', state.target, []]);
    assert.deepEqual(gift.trial, { soakSeconds: 60, probes: [], attempt: 2, served: false });
  }
  // Which is read again: that it does not serve is no fault of the target's.
  const p = profile('p', { mode: 'Required', searchPath: 'Spec' });
  const target = revisionName(p, { searchPath: 'Spec' });
  const reasonOf = (served?: boolean): string | undefined => {
    const there = { ...carrying(target), trial: { soakSeconds: 0, probes: [], attempt: 2, served } };
    const outcome = plan([p], [node('n', 'p')], {
      written: () => ({ ...there, report: { ...there.report, isServing: false } }),
      sighting: () => ({ ...seen, downSinceMs: 0 }),
      state: () => ({ ...done, phase: 'Canary', target, attempt: 2 }),
      nowMs: 1e9,
      revision: () => undefined,
    });
    return outcome.profiles.get('p')?.course?.state.reason;
  };
  assert.deepEqual([reasonOf(false), reasonOf()], [undefined, 'NotServing']);
});

test('what was accepted last and cannot be served is on its way to nobody, though it was given a moment ago', () => {
  const spec: ProfileSpec = {
    mode: 'Required',
    redirects: [{ name: 'a', match: { suffixes: ['a.example'] }, target: service }],
  };
  const target = stored(spec);
  const begun = { phase: 'Canary', target: target.name, attempt: 1, startedAt: 's' } as const;
  for (const kept of [target, undefined]) {
    const gift = { profile: 'p', revision: target.name, trial: undefined, givenAtMs: 0 };
    const look = unserved(spec, begun, {
      cluster: { ...cluster, serviceTarget: () => gone },
      revision: () => kept,
      gifts: new Map([['m', gift]]),
    });
    for (let looks = 0; looks < 2; looks += 1) {
      const { course, kinds: are } = look();
      assert.deepEqual([course.state.phase, course.gifts.size, are], ['Idle', 0, { m: 'keep', n: 'keep' }]);
    }
  }
});

test('while somebody tries what was accepted last, and it cannot be served any more, nobody else is given it', () => {
  const redirects = [{ name: 'a', match: { suffixes: ['a.example'] }, target: service }];
  const rollout = { maxUnavailable: 2, canary: { nodes: 2 } };
  const target = stored({ redirects });
  const trial = { soakSeconds: 60, probes: [], attempt: 1, served: true };
  const { profiles } = plan(
    [profile('p', { mode: 'Required', rollout, redirects })],
    [node('m', 'p'), node('n', 'p')],
    {
      cluster: { ...cluster, serviceTarget: () => gone },
      revision: () => target,
      written: (name) => ({ ...carrying(target.name), name, ...(name === 'm' ? { profile: 'q' } : { trial }) }),
      state: () => ({ phase: 'Canary', target: target.name, attempt: 1, startedAt: 's' }),
    },
  );
  const { state, onTrial, gifts } = profiles.get('p')?.course ?? assert.fail();
  assert.deepEqual([state.phase, onTrial, gifts.size], ['Canary', 1, 0]);
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

test('who joins a rollout is marked as such in its trial, and who carries that mark is taken for it', () => {
  const { name: good } = stored({ searchPath: 'Spec' });
  const p = profile('p', { rollout: { canary: { soakSeconds: 5 } } });
  const target = revisionName(p, {});
  const joined = { ...carrying(target), name: 'j', trial: { soakSeconds: 5, probes: [], attempt: 1, joined: true } };
  const look = (there: readonly WrittenFacts[]) =>
    plan([p], [node('n', 'p'), node('j', 'p')], {
      written: (name) => there.find((one) => one.name === name),
      revision: () => stored({ searchPath: 'Spec' }),
      state: () => ({ phase: 'Batch', target, good, startedAt: 's' }),
    });
  const { trial } = look([carrying(good)]).gifts.get('j') ?? {};
  assert.deepEqual(trial, { soakSeconds: 5, probes: [], attempt: 1, joined: true });
  // It has said nothing yet, and the other need not wait for it.
  assert.equal(look([carrying(good), joined]).gifts.get('n')?.revision, target);
});

test('whom another profile served joins no rollout, and is judged in its turn', () => {
  const { name: good } = stored({ searchPath: 'Spec' });
  const p = profile('p', { rollout: { canary: { soakSeconds: 5 } } });
  const target = revisionName(p, {});
  const { gifts } = plan([p], [node('n', 'p'), node('o', 'p')], {
    written: (name) => ({ ...carrying(target), name, ...(name === 'o' && { profile: 'q' }) }),
    revision: () => stored({ searchPath: 'Spec' }),
    state: () => ({ phase: 'Batch', target, good, startedAt: 's' }),
  });
  assert.deepEqual(
    [...gifts].map(([name, { trial }]) => [name, trial]),
    [['o', { soakSeconds: 5, probes: [], attempt: 1, served: true }]],
  );
});

const seen: Sighting = {
  seenMs: 0,
  sinceMs: 0,
  heardMs: 0,
  awaited: [],
  behindSinceMs: undefined,
  downSinceMs: undefined,
};

/** What a profile that has not rolled out anything gives a node that stands so. */
const firstTrial = (written: WrittenFacts | undefined, more: Partial<World> = {}) =>
  plan([profile('p', { rollout: { canary: { soakSeconds: 5 } } })], [node('n', 'p')], {
    written: () => written,
    state: (p) => ({ phase: 'Canary', target: revisionName(p, {}), startedAt: 's' }),
    ...more,
  }).gifts.get('n')?.trial;

test('of a first revision it is written down who was served before, by another profile or another revision', () => {
  const trial = { soakSeconds: 5, probes: [], attempt: 1 };
  const served = { ...trial, served: true };
  const other = { ...carrying('q-1'), profile: 'q' };
  assert.deepEqual(firstTrial(undefined), trial);
  assert.deepEqual(firstTrial(other), served);
  assert.deepEqual(firstTrial({ ...other, report: { ...other.report, isServing: false } }), trial);
  assert.deepEqual(firstTrial(carrying('p-1')), served);
  // It serves no more by what is replaced, and did before that.
  const hurt = { ...carrying('p-1'), trial: served };
  assert.deepEqual(firstTrial({ ...hurt, report: { ...hurt.report, isServing: false } }), served);
});

test('whose agent is silent under another profile was not served by it', () => {
  const other = { ...carrying('q-1'), profile: 'q' };
  const behind = { ...other, report: { ...other.report, appliedRevision: 'v1-before' } };
  const seenLong = () => ({ ...seen, behindSinceMs: 0 });
  const trial = { soakSeconds: 5, probes: [], attempt: 1 };
  assert.deepEqual(firstTrial(behind, { sighting: seenLong, nowMs: 10_000 }), { ...trial, served: true });
  assert.deepEqual(firstTrial(behind, { sighting: seenLong, nowMs: 1e9 }), trial);
});

test('who carries the mark that he was served before is judged by a first revision, whoever gave it', () => {
  const p = profile('p', {});
  const target = revisionName(p, {});
  const reasonOf = (served?: boolean): string | undefined => {
    const there = { ...carrying(target), trial: { soakSeconds: 0, probes: [], attempt: 1, served } };
    const outcome = plan([p], [node('n', 'p')], {
      written: () => ({ ...there, report: { ...there.report, isServing: false } }),
      sighting: () => ({ ...seen, downSinceMs: 0 }),
      state: () => ({ phase: 'Canary', target, startedAt: 's' }),
      nowMs: 1e9,
    });
    return outcome.profiles.get('p')?.course?.state.reason;
  };
  assert.deepEqual([reasonOf(), reasonOf(true)], [undefined, 'NotServing']);
});

test('a node that was being taken out has nothing to lose: it is served at once', () => {
  const p = profile('p', {});
  const target = revisionName(p, {});
  const look = (withdrawnAtMs?: number) =>
    plan([p], [node('n', 'p')], {
      written: () => ({ ...carrying('q-1'), profile: 'q', withdrawnAtMs }),
      state: () => ({ phase: 'Done', target, good: target, startedAt: 's' }),
    }).gifts.get('n')?.trial;
  assert.deepEqual([look()?.served, look(1)], [true, undefined]);
});

test('who comes when a rollout is over is marked as such, and only who carries that mark fails as one that came late', () => {
  const { name: good } = stored({ searchPath: 'Spec' });
  const p = profile('p', { rollout: { canary: { soakSeconds: 5 } } });
  const target = revisionName(p, {});
  const look = (there: WrittenFacts) =>
    plan([p], [node('n', 'p')], {
      written: () => there,
      state: () => ({ phase: 'Done', target, good: target, startedAt: 's' }),
    });
  const trial = { soakSeconds: 5, probes: [], attempt: 1 };
  assert.deepEqual(look(carrying(good)).gifts.get('n')?.trial, { ...trial, late: true });
  const { report } = carrying(target);
  const refuses = (late?: boolean): string | undefined => {
    const refusing = { ...report, isRefused: true, failure: 'too new' };
    const there = { ...carrying(target), trial: { ...trial, late }, report: refusing };
    return look(there).profiles.get('p')?.course?.state.reason;
  };
  assert.deepEqual([refuses(), refuses(true)], [undefined, 'ConfigRefused']);
});

test('that a node fell silent is written down before anybody else is given anything', () => {
  const { name: good } = stored({ searchPath: 'Spec' });
  const p = profile('p', { rollout: { maxUnavailable: 2 } });
  const target = revisionName(p, {});
  const trial = { soakSeconds: 600, probes: [], attempt: 1 };
  const silent = { ...carrying(target), trial, report: { ...carrying(target).report, appliedRevision: '' } };
  const seen = { sinceMs: 0, seenMs: 0, heardMs: 0, awaited: [], behindSinceMs: 0, downSinceMs: undefined };
  const look = (more: Partial<RolloutState>) =>
    plan([p], [node('n', 'p'), node('m', 'p'), node('o', 'p')], {
      written: (name) => (name === 'n' ? silent : { ...carrying(good), name }),
      sighting: () => seen,
      nowMs: 60_000,
      revision: () => stored({ searchPath: 'Spec' }),
      state: () => ({ phase: 'Canary', target, good, startedAt: 's', ...more }),
    }).profiles.get('p')?.course;
  const course = look({});
  assert.deepEqual([course?.isNews, course?.state.silent], [true, ['n']]);
  assert.equal(look({ silent: ['n'] })?.isNews, false);
  assert.equal(look({ silent: ['n'], gone: 1 })?.isNews, true);
});

test('so it is with what is gone, and since when', () => {
  const state: RolloutState = { phase: 'Done', target: 't', gone: 1, goneAt: '2026-01-01T00:00:00Z' };
  assert.equal(isSameState(state, { ...state }), true);
  assert.equal(isSameState(state, { ...state, gone: 2 }), false);
  assert.equal(isSameState(state, { ...state, goneAt: '2026-01-01T00:00:01Z' }), false);
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

const deletedAt = '2026-01-01T00:00:00Z';
const deletedAtMs = Date.parse(deletedAt);
/** What becomes of a node of a deleted profile so long after the deletion, and of whom that profile says that it waits for. */
function inherited(nodes: NodeFacts[], afterMs: number, others: LocalDnsProfile[], more: Partial<World> = {}) {
  const leaving = profile('p', {});
  leaving.metadata.deletionTimestamp = deletedAt;
  const nowMs = deletedAtMs + afterMs;
  const written = (name: string) => ({ ...carrying('p-1'), name });
  const told = others.some(({ status }) => status !== undefined) ? { state: toldState } : {};
  const outcome = plan([leaving, ...others], nodes, { written, nowMs, ...told, ...more });
  const heirs = outcome.profiles.get('p')?.heirs.map(({ profile, nodes, is, untilMs }) => {
    return [profile, nodes.join(), untilMs === undefined ? is : untilMs - deletedAtMs];
  });
  return { kind: kinds(outcome).n, heirs };
}

test('what was of a deleted profile is taken from a node at once where nobody is to serve it, whatever its label says', () => {
  assert.deepEqual(inherited([node('n', 'typo')], 0, []), { kind: 'unserve', heirs: [] });
  const kept = plan([], [node('n', 'typo')], { written: () => carrying('p-1') });
  assert.deepEqual(kinds(kept), { n: 'keep' });
});

const toldState = ({ status }: LocalDnsProfile): RolloutState | undefined => status?.rollout;

/** One whose rollout has come to that so long after the deletion, as it stands in its status. */
function heirIn(phase: RolloutPhase, afterMs: number, spec: ProfileSpec, more: Partial<RolloutState> = {}) {
  const heir = profile('heir', { nodeSelector: {}, ...spec });
  const stoppedAt = new Date(deletedAtMs + afterMs).toISOString();
  const target = revisionName(heir, {});
  return {
    ...heir,
    status: { rollout: { phase, target, startedAt: 's', attempt: 1, stoppedAt, ...more } } as ProfileStatus,
  };
}
const paused: ProfileSpec = { rollout: { paused: true } };

for (const [title, heir] of [
  ['is paused', heirIn('Paused', -1e9, paused)],
  [
    'was never accepted',
    profile('heir', { nodeSelector: {}, kubeDNSOverrides: { '.': { forwardDestination: 'no' } } }),
  ],
] as const) {
  test(`a node of a deleted profile waits a minute for one that ${title}, and no longer`, () => {
    const awaited = { kind: 'keep', heirs: [['heir', 'n', 60_000]] };
    assert.deepEqual(inherited([node('n')], 59_000, [heir]), awaited);
    assert.deepEqual(inherited([node('n')], 60_000, [heir]), { kind: 'unserve', heirs: [] });
  });
}

test('so it waits for one whose last accepted revision cannot be served: nobody gives that', () => {
  const redirects = [{ name: 'r', match: { suffixes: ['r.example'] }, target: service }];
  const spec: ProfileSpec = { nodeSelector: {}, mode: 'Required', redirects };
  const { name: target } = stored({ redirects });
  const more = { cluster: { ...cluster, serviceTarget: () => gone }, revision: () => stored({ redirects }) };
  const state = (): RolloutState => ({ phase: 'Idle', target, attempt: 1 });
  const look = (afterMs: number) => inherited([node('n')], afterMs, [profile('heir', spec)], { ...more, state });
  assert.deepEqual(look(59_000), { kind: 'keep', heirs: [['heir', 'n', 60_000]] });
  assert.deepEqual(look(60_000), { kind: 'unserve', heirs: [] });
});

test('the minute begins when the rollout is paused that the node waited for', () => {
  const heir = heirIn('Paused', 1e9, paused);
  const awaited = { kind: 'keep', heirs: [['heir', 'n', 1e9 + 60_000]] };
  assert.deepEqual(inherited([node('n')], 1e9 + 59_000, [heir]), awaited);
  assert.deepEqual(inherited([node('n')], 1e9 + 60_000, [heir]), { kind: 'unserve', heirs: [] });
});

test('or when it is over: the same for an operator that begins then', () => {
  const heir = heirIn('Halted', 1e9, {}, { reason: 'R' });
  const awaited = { kind: 'keep', heirs: [['heir', 'n', 1e9 + 60_000]] };
  assert.deepEqual(inherited([node('n')], 1e9 + 59_000, [heir]), awaited);
  assert.deepEqual(inherited([node('n')], 1e9 + 60_000, [heir]), { kind: 'unserve', heirs: [] });
});

test('or when one is paused whose rollout was over, and that took over one after the other', () => {
  const good = revisionName(profile('heir', {}), {});
  const heir = heirIn('Done', 1e9, paused, { good });
  const awaited = { kind: 'keep', heirs: [['heir', 'n', 1e9 + 60_000]] };
  assert.deepEqual(inherited([node('n')], 1e9 + 59_000, [heir]), awaited);
  assert.deepEqual(inherited([node('n')], 1e9 + 60_000, [heir]), { kind: 'unserve', heirs: [] });
});

test('a pause that is not written down yet is of this moment, whatever stopped it before', () => {
  const good = 'before';
  const target = revisionName(profile('heir', {}), {});
  const over = heirIn('Done', 0, paused, { good: target, stoppedAt: undefined });
  for (const heir of [
    over,
    heirIn('Batch', -1e9, paused, { good }),
    heirIn('RolledBack', -1e9, paused, { good, reason: 'R' }),
  ])
    assert.deepEqual(inherited([node('n')], 1e9, [heir]), { kind: 'keep', heirs: [['heir', 'n', 'rolling']] });
});

test('to an operator whose clock is behind, the moment until which is waited stays the same', () => {
  const heir = heirIn('Paused', -1e9, paused);
  const awaited = { kind: 'keep', heirs: [['heir', 'n', 60_000]] };
  for (const afterMs of [-300_000, -299_000, -1, 1]) assert.deepEqual(inherited([node('n')], afterMs, [heir]), awaited);
});

test('a node of a deleted profile waits for a rollout that is under way, and for what is not known yet', () => {
  const heir = profile('heir', { nodeSelector: {}, rollout: { maxUnavailable: 1, canary: { nodes: 1 } } });
  const many = ['m', 'n'].map((name) => node(name));
  const first = inherited(many, 1e9, [heir]);
  const heirs = [
    ['heir', 'm', 'giving'],
    ['heir', 'n', 'rolling'],
  ];
  assert.deepEqual(first, { kind: 'keep', heirs });
  const ref = { namespace: 'emulator', name: 'cloud' };
  const redirects = [{ name: 'r', match: { suffixes: ['r.example'] }, target: { serviceRef: ref } }];
  const unknown = inherited([node('n')], 1e9, [profile('heir', { nodeSelector: {}, redirects })]);
  assert.deepEqual(unknown, { kind: 'keep', heirs: [['heir', 'n', 'unknown']] });
});

test('it does not wait for ever for one of which the API server takes nothing, and whose rollout cannot begin therefore', () => {
  const heir = profile('heir', { nodeSelector: {} });
  // Nothing stands in its status, and what it comes to is news at every look.
  const look = (afterMs: number, refusedMs: number | undefined, spec: ProfileSpec = {}) => {
    const refusedSinceMs = () => (refusedMs === undefined ? undefined : deletedAtMs + refusedMs);
    const one = { ...heir, spec: { ...heir.spec, ...spec } };
    return inherited([node('n')], afterMs, [one], { state: () => undefined, refusedSinceMs });
  };
  assert.deepEqual(look(1e9, undefined), { kind: 'keep', heirs: [['heir', 'n', 'rolling']] });
  // A minute from the deletion on, or from when it was refused where that was later.
  for (const [refusedMs, untilMs] of [
    [-1e9, 60_000],
    [1e9, 1e9 + 60_000],
  ] as const) {
    for (const spec of [{}, paused]) {
      assert.deepEqual(look(untilMs - 1, refusedMs, spec), { kind: 'keep', heirs: [['heir', 'n', untilMs]] });
      assert.deepEqual(look(untilMs, refusedMs, spec), { kind: 'unserve', heirs: [] });
    }
  }
  // What stands there goes on: it is not news that is refused.
  const more = { refusedSinceMs: () => deletedAtMs };
  assert.deepEqual(inherited([node('n')], 1e9, [heir], more).heirs, [['heir', 'n', 'giving']]);
  const slowly = profile('heir', { nodeSelector: {}, rollout: { maxUnavailable: 1, canary: { nodes: 1 } } });
  const both = inherited([node('m'), node('n')], 1e9, [slowly], more).heirs;
  assert.deepEqual(both?.[1], ['heir', 'n', 'rolling']);
});

/** Of a profile whose rollout is over, and that takes over one node at a time: what becomes of the second. */
function second(
  afterMs: number,
  state: Partial<RolloutState>,
  more: Partial<WrittenFacts> = {},
  rollout: ProfileSpec['rollout'] = {},
  { configVersions, isAway = false }: { configVersions?: number[]; isAway?: boolean } = {},
) {
  const heir = heirIn(state.phase ?? 'Done', -1e9, { rollout: { maxUnavailable: 1, ...rollout } });
  const target = revisionName(heir, {});
  const begunMs = deletedAtMs + afterMs;
  const stoppedAt = new Date(deletedAtMs + 1e9).toISOString();
  const isStopped = state.reason !== undefined || rollout?.paused === true;
  const trial = { soakSeconds: 5, probes: [], attempt: 1, served: true, late: true };
  const taken = { ...carrying(target), profile: 'heir', trial, writtenAtMs: begunMs, ...more };
  taken.report = { ...taken.report, measures: true };
  const awaits = carrying('p-1');
  const other = { ...awaits, report: { ...awaits.report, configVersions } };
  const away = { ...node('o'), isReachable: false, awaySinceMs: begunMs };
  return inherited([node('n'), node('m'), ...(isAway ? [away] : [])], afterMs, [heir], {
    written: (name) => (name === 'm' ? { ...taken, name } : name === 'n' ? { ...other, name } : undefined),
    sighting: (name) => (name === 'm' ? { ...seen, sinceMs: begunMs, heardMs: begunMs } : undefined),
    state: () => ({ phase: 'Done', target, good: target, startedAt: 's', ...(isStopped && { stoppedAt }), ...state }),
  }).heirs;
}

test('a node of a deleted profile waits for its turn where the rollout is over, and another is taken over before it', () => {
  assert.deepEqual(second(1e9, {}), [['heir', 'n', 'rolling']]);
  // By what it had failed with it takes over nobody, and by what is good it does.
  const back = { phase: 'RolledBack', target: revisionName(profile('heir', {}), {}), reason: 'R' } as const;
  assert.deepEqual(second(1e9, { ...back, good: revisionName(profile('heir', {}), {}) }), [['heir', 'n', 'rolling']]);
  assert.deepEqual(second(1e9 + 60_000, {}, {}, { paused: true }), []);
});

test('it does not wait until what went late is forgotten', () => {
  const goneAt = new Date(deletedAtMs + 1e9).toISOString();
  const rollout = { maxUnavailable: 2 };
  assert.deepEqual(second(1e9, { gone: 1, goneAt }, { trial: undefined }, rollout), [['heir', 'n', 'giving']]);
  assert.deepEqual(second(1e9, { gone: 1, goneAt }, { trial: undefined }, rollout, { configVersions: [99] }), []);
});

test('where one that came late has failed it waits a minute from then on', () => {
  const { report } = carrying('p-1');
  const refused = { report: { ...report, isRefused: true, failure: 'no' } };
  const failed = { reason: 'ConfigRefused', message: 'no', silent: ['m'] };
  assert.deepEqual(second(1e9 + 59_000, failed, refused), [['heir', 'n', 1e9 + 60_000]]);
  assert.deepEqual(second(1e9 + 60_000, failed, refused), []);
  // That another comes back may change something, and not for this one.
  assert.deepEqual(second(1e9 + 60_000, failed, refused, {}, { isAway: true }), []);
  // That is not written down yet.
  assert.deepEqual(second(2e9, { silent: ['m'] }, refused), [['heir', 'n', 'rolling']]);
});

test('a node of a deleted profile does not wait for a rollout in which nothing moves any more', () => {
  const heir = profile('heir', { nodeSelector: {} });
  // Its agent reads nothing of what is written: the rollout has nobody to go on with.
  const then = carrying('p-1');
  const written = (name: string) => ({ ...then, name, report: { ...then.report, configVersions: [99] } });
  assert.deepEqual(inherited([node('n')], 60_000, [heir], { written }), { kind: 'unserve', heirs: [] });
});

test('nor until a day has made room in it', () => {
  const heir = profile('heir', { nodeSelector: {}, rollout: { maxUnavailable: 2, canary: { nodes: 2 } } });
  const then = carrying('p-1');
  const written = (name: string) => ({ ...then, name, report: { ...then.report, configVersions: [99] } });
  const goneAt = new Date(deletedAtMs).toISOString();
  const target = revisionName(heir, {});
  const state = (): RolloutState => ({ phase: 'Canary', target, startedAt: 's', attempt: 1, gone: 1, goneAt });
  assert.deepEqual(inherited([node('n')], 60_000, [heir], { written, state }), { kind: 'unserve', heirs: [] });
});

test('what a node was given is not forgotten while it is found out what an edit means', () => {
  const ref = { namespace: 'emulator', name: 'cloud' };
  const redirects = [{ name: 'r', match: { suffixes: ['r.example'] }, target: { serviceRef: ref } }];
  const gift = { profile: 'p', revision: 'p-1', trial: undefined, givenAtMs: 0 };
  const gifts = new Map(['n', 'other'].map((name) => [name, { ...gift, profile: name === 'n' ? 'p' : 'q' }]));
  const outcome = plan([profile('p', { redirects })], [node('n', 'p'), node('other', 'p')], { gifts });
  assert.deepEqual([...outcome.gifts.keys()], ['n']);
});

test('what nodes carry follows the cluster under Required too when one Service is gone: that redirect leads where it led', () => {
  const spec: ProfileSpec = {
    mode: 'Required',
    redirects: [{ name: 'service', match: { suffixes: ['example'] }, target: service }],
  };
  const { name: target } = stored(spec);
  const moved = { clusterDns: { ...clusterDns, addresses: ['10.96.0.77'] }, ranges: [], serviceTarget: () => gone };
  const look = (more: Partial<World>) =>
    plan([profile('p', spec)], [node('n', 'p')], {
      cluster: moved,
      written: () => carrying(target),
      revision: (name) => (name === target ? stored(spec) : undefined),
      state: () => ({ phase: 'Done', target, good: target, startedAt: 's' }),
      ...more,
    });
  const redirect = { name: 'service', match: {}, addresses: ['10.96.0.50'], ttlSeconds: 1, otherTypes: 'NoData' };
  const carriedConfig = { redirects: [redirect] } as unknown as ReturnType<World['configOf']>;
  const outcome = look({ configOf: (revision) => (revision === 'v1-then' ? carriedConfig : undefined) });
  const intent = outcome.intents.get('n');
  assert.ok(intent?.kind === 'serve');
  assert.deepEqual(intent.config.clusterDNS.addresses, ['10.96.0.77']);
  assert.deepEqual(intent.config.redirects?.[0]?.addresses, ['10.96.0.50']);
  const fields = outcome.profiles.get('p')?.errors.map(({ field }) => field);
  assert.deepEqual(fields, ['spec.redirects[0].target.serviceRef']);
  // It was left out, as under Preferred: nobody begins with it now.
  const without = look({ configOf: () => ({ redirects: [] }) }).intents.get('n');
  assert.ok(without?.kind === 'serve');
  assert.equal(without.config.redirects, undefined);
  assert.deepEqual(kinds(look({})), { n: 'keep' });
});

test('what somebody has written into one node has no say in where the redirects of the others lead, and is put right', () => {
  const spec: ProfileSpec = {
    mode: 'Required',
    redirects: [{ name: 'service', match: { suffixes: ['example'] }, target: service }],
  };
  const { name: target } = stored(spec);
  const redirect = { name: 'service', match: {}, addresses: ['10.96.0.50'], ttlSeconds: 1, otherTypes: 'NoData' };
  const configs: Record<string, object> = { 'v1-then': { redirects: [redirect] }, 'v1-other': { redirects: [] } };
  // Of the one hash nobody has seen anything, the other is of something else. Where nobody has been left alone a hash still says what stood there.
  for (const [overwritten, names, intact] of [
    ['v1-unseen', ['a', 'b', 'new'], ['b']],
    ['v1-unseen', ['a', 'b', 'new'], []],
    ['v1-other', ['a', 'b', 'new'], ['b']],
    ['v1-then', ['a', 'new'], []],
  ] as [string, string[], string[]][]) {
    const nodes = names.map((name) => node(name, 'p'));
    const { intents } = plan([profile('p', spec)], nodes, {
      cluster: { ...cluster, serviceTarget: () => gone },
      written: (name) => {
        if (name === 'new') return undefined;
        return {
          ...carrying(target),
          name,
          ...(name === 'a' && { revision: overwritten }),
          isIntact: intact.includes(name),
        };
      },
      revision: (name) => (name === target ? stored(spec) : undefined),
      state: () => ({ phase: 'Done', target, good: target, startedAt: 's' }),
      configOf: (revision) => configs[revision] as ReturnType<World['configOf']>,
    });
    for (const name of names) {
      const intent = intents.get(name);
      assert.ok(intent?.kind === 'serve', `${name} ${overwritten}`);
      assert.deepEqual(intent.config.redirects?.[0]?.addresses, ['10.96.0.50']);
    }
  }
});

test('a Service with too many endpoints costs its redirect alone, and under Required the field is named', () => {
  const crowd: ServiceTarget = {
    kind: 'addresses',
    addresses: Array.from({ length: 6_000 }, (_, at) => `10.1.${at >> 8}.${at & 255}`),
  };
  const small: ServiceTarget = { kind: 'addresses', addresses: ['10.96.0.50'] };
  const facts = { ...cluster, serviceTarget: ({ name }: { name: string }) => (name === 'cloud' ? crowd : small) };
  const other = { serviceRef: { namespace: 'emulator', name: 'other' } };
  const spec: ProfileSpec = {
    redirects: [
      { name: 'a', match: { suffixes: ['a.example'] }, target: other },
      { name: 'b', match: { suffixes: ['b.example'] }, target: service },
    ],
  };
  const judge = rememberingJudge();
  const preferred = judge(spec, facts);
  assert.ok(preferred.kind === 'rendered');
  assert.deepEqual(
    preferred.config.redirects?.map(({ name }) => name),
    ['a'],
  );
  assert.match(preferred.leftOut[0]?.message ?? '', /^Service emulator\/cloud has so many addresses/);
  const required = judge({ ...spec, mode: 'Required' }, facts);
  assert.ok(required.kind === 'refused');
  assert.deepEqual(
    [required.reason, ...required.errors.map(({ field }) => field)],
    ['TooLarge', 'spec.redirects[1].target.serviceRef'],
  );
});
