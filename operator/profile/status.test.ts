import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Condition } from '../../api/v1alpha1/conditions.ts';
import type { LocalDnsProfile, ProfileStatus } from '../../api/v1alpha1/profile.ts';
import type { FieldError } from '../../api/v1alpha1/profile-validation.ts';
import type { RolloutPhase } from '../../api/v1alpha1/rollout-settings.ts';
import type { Course } from './course.ts';
import { type AgentReport, type NodeFacts, writtenFacts } from './facts.ts';
import type { Heir } from './heirs.ts';
import type { ProfilePlan } from './plan.ts';
import type { RolloutState } from './rollout-state.ts';
import { isSameStatus, newTroubles, profileStatus, type StatusInput } from './status.ts';

interface Scene extends Partial<Omit<StatusInput, 'plan'>> {
  readonly plan?: Partial<ProfilePlan>;
  readonly unreachable?: readonly string[];
  /** What each agent reports; a node that is absent has no configuration yet. */
  readonly reports?: Readonly<Record<string, Partial<AgentReport>>>;
}

const serving = { appliedRevision: 'r2', isServing: true };
const profile: LocalDnsProfile = { metadata: { name: 'p', generation: 3 }, spec: {} };

function status({ plan, unreachable = [], reports = {}, ...more }: Scene): ProfileStatus {
  return profileStatus({
    profile,
    plan: {
      ...{
        errors: [],
        leftOut: [],
        isUnknown: false,
        revision: 'r2',
        revisions: plan !== undefined && 'revision' in plan ? [] : ['r2'],
        misfits: new Map(),
        isDisabled: false,
      },
      ...{ selected: ['a', 'b'], heirs: [], conflict: undefined, refusal: 'Invalid', course: undefined },
      ...plan,
    },
    node: (name): NodeFacts => ({
      name,
      uid: '',
      labels: {},
      isReachable: !unreachable.includes(name),
      podCIDRs: [],
      createdAtMs: 0,
      isLeaving: false,
    }),
    written: (name) => {
      const report = reports[name];
      if (report === undefined) return undefined;
      const none = {
        ...{ appliedRevision: '', isServing: false, isRefused: false },
        ...{ measures: false, health: undefined, failure: undefined },
      };
      return {
        name,
        uid: '',
        ownerUid: '',
        profile: 'p',
        revision: 'r2',
        ...{ profileRevision: 'p-1', trial: undefined, writtenAtMs: 0, withdrawnAtMs: undefined, hasLeft: false },
        isIntact: true,
        report: { ...none, ...report },
      };
    },
    clusterDns: { namespace: 'kube-system', service: 'kube-dns', addresses: [] },
    isClusterDnsFound: true,
    nowMs: Date.UTC(2026, 0, 1),
    ...more,
  });
}

function condition(of: ProfileStatus, type: string): Condition {
  return of.conditions?.find((candidate) => candidate.type === type) ?? assert.fail(`no condition ${type}`);
}

function summary(of: ProfileStatus): Record<string, string> {
  return Object.fromEntries((of.conditions ?? []).map(({ type, status, reason }) => [type, `${status} ${reason}`]));
}

test('when every node serves the revision, the profile is Programmed and nothing else is said against it', () => {
  const all = status({ reports: { a: serving, b: serving } });
  assert.deepEqual(all.nodes, { selected: 2, updated: 2, ready: 2, failed: 0 });
  assert.equal(all.revision, 'r2');
  assert.equal(all.observedGeneration, 3);
  assert.deepEqual(summary(all), {
    Accepted: 'True Valid',
    Programmed: 'True AllNodesProgrammed',
    Progressing: 'False RolloutComplete',
    Degraded: 'False Healthy',
    Conflicted: 'False NoConflict',
  });
  assert.ok(all.conditions?.every(({ observedGeneration }) => observedGeneration === 3));
});

test('a node at the old revision is pending, and one that applied without serving is updated but not ready', () => {
  const some = status({ reports: { a: { ...serving, isServing: false }, b: { ...serving, appliedRevision: 'r1' } } });
  assert.deepEqual(some.nodes, { selected: 2, updated: 1, ready: 0, failed: 0 });
  assert.equal(summary(some).Programmed, 'False NodesPending');
  assert.equal(summary(some).Progressing, 'True NodesPending');
  assert.match(condition(some, 'Programmed').message, /0 of 2 nodes serve r2. Not yet: a, b/);
});

test('a node that is not reachable does not hold Programmed back, and is named', () => {
  const away = status({ reports: { a: serving }, unreachable: ['b'] });
  assert.equal(summary(away).Programmed, 'True AllNodesProgrammed');
  assert.match(condition(away, 'Programmed').message, /1 not reachable: b/);
  assert.equal(summary(away).Progressing, 'False RolloutComplete');
});

test('on trial a node is neither updated nor ready, however well it serves, and whether or not it can be reached', () => {
  const reports = { a: serving, b: serving };
  const unproven = new Set(['b']);
  for (const unreachable of [[], ['b']]) {
    const trying = status({ plan: { course: { ...course('Paused'), unproven } }, reports, unreachable });
    assert.deepEqual(trying.nodes, { selected: 2, updated: 1, ready: 1, failed: 0 });
    assert.equal(summary(trying).Programmed, 'False NodesPending');
    assert.match(condition(trying, 'Programmed').message, /1 of 2 nodes serve r2. Not yet: b/);
  }
});

test('a node that serves as it should is not awaited, whatever its agent will make of the next configuration', () => {
  const misfits = new Map([['a', { reason: 'AgentTooNew' as const, message: 'upgrade the operator' }]]);
  const told = status({ plan: { misfits }, reports: { a: serving, b: serving } });
  assert.equal(summary(told).Programmed, 'True AllNodesProgrammed');
  assert.equal(summary(told).Degraded, 'True AgentTooNew');
  const waits = status({ plan: { misfits }, reports: { a: {}, b: serving } });
  assert.equal(summary(waits).Programmed, 'False NodesFailed');
});

test('whatever an agent says, the API server takes the status, and the rest of each message is there', () => {
  const failure = `${'☂'.repeat(100)}${'😀'.repeat(32_768)}`;
  const bypass = failure;
  const refused = { field: 'spec', message: failure };
  for (const plan of [
    {},
    { course: course('RollingBack', { reason: 'NotServing', message: `a: ${failure}` }) },
    { misfits: new Map([['a', { reason: 'AgentTooOld' as const, message: failure }]]) },
    { errors: [refused] },
    { leftOut: [refused, refused] },
  ]) {
    for (const said of [{ failure }, { ...serving, bypass }]) {
      const { conditions = [], rollout } = status({ plan, reports: { a: said, b: said } });
      for (const { message } of conditions) assert.ok(Buffer.byteLength(message) <= 32_768);
      assert.ok([...(rollout?.message ?? '')].length <= 1024);
      assert.ok(
        [rollout?.message ?? '', ...conditions.map(({ message }) => message)].every((text) => text.isWellFormed()),
      );
    }
  }
  const stuck = { ...course('Halted', why), goodLost: 'is not kept any more' };
  assert.match(
    condition(status({ plan: { course: stuck } }), 'Degraded').message,
    /Nodes keep what they have, for p-old, the last good one, is not kept any more\. Edit/,
  );
  const failed = status({ plan: { course: course('RolledBack', { ...why, message: failure }) } });
  assert.ok(condition(failed, 'Degraded').message.endsWith(again));
});

test('what was written for a machine of the past counts for nobody', () => {
  const again = (name: string): NodeFacts => ({
    name,
    uid: 'another',
    labels: {},
    isReachable: true,
    podCIDRs: [],
    createdAtMs: 0,
    isLeaving: false,
  });
  const told = status({ node: again, reports: { a: serving, b: { ...serving, failure: 'port 53 is taken' } } });
  assert.deepEqual(told.nodes, { selected: 2, updated: 0, ready: 0, failed: 0 });
});

test('nothing is Programmed while nobody can say so, nor before the rollout is over', () => {
  const away = status({ reports: { a: { ...serving, isServing: false } }, unreachable: ['a', 'b'] });
  assert.equal(summary(away).Programmed, 'False NodesPending');
  assert.match(condition(away, 'Programmed').message, /0 of 2 nodes serve r2. 2 not reachable: a, b/);
  for (const [phase, wanted] of [
    ['Batch', 'False NodesPending'],
    ['Done', 'True AllNodesProgrammed'],
  ] as const) {
    const one = { ...course(phase), unproven: new Set<string>() };
    const here = status({ plan: { course: one }, reports: { a: serving }, unreachable: ['b'] });
    assert.equal(summary(here).Programmed, wanted);
  }
});

test('a node that refuses its configuration is failed, with its words, and nobody waits for it', () => {
  const failed = status({
    reports: { a: serving, b: { appliedRevision: 'r1', isServing: true, failure: 'port 53 is taken' } },
  });
  assert.equal(failed.nodes?.failed, 1);
  assert.deepEqual(
    [summary(failed).Programmed, summary(failed).Progressing, summary(failed).Degraded],
    ['False NodesFailed', 'False RolloutComplete', 'False NodesFailed'],
  );
  assert.match(condition(failed, 'Degraded').message, /b: port 53 is taken/);
});

test('a node that cannot serve degrades a profile that is Required, and one that is Preferred says why', () => {
  const reports = { a: serving, b: { failure: 'port 53 is taken' } };
  const required = { ...profile, spec: { mode: 'Required' as const } };
  assert.equal(summary(status({ reports, profile: required })).Degraded, 'True NodesFailed');
  assert.equal(summary(status({ reports })).Degraded, 'False NodesFailed');
  assert.equal(summary(status({ reports, isClusterDnsFound: false })).Degraded, 'True NodesFailed');
});

test('a node that serves, and to which no query is led, is the same', () => {
  const reports = { a: serving, b: { ...serving, bypass: 'nft is missing: install it' } };
  const required = { ...profile, spec: { mode: 'Required' as const } };
  const degraded = condition(status({ reports, profile: required }), 'Degraded');
  assert.deepEqual(
    [degraded.status, degraded.reason, degraded.message],
    ['True', 'NodesNotIntercepting', '1 serve, and queries are not led to them: b. b: nft is missing: install it'],
  );
  const preferred = status({ reports });
  assert.equal(summary(preferred).Degraded, 'False NodesNotIntercepting');
  assert.match(condition(preferred, 'Degraded').message, /nft is missing/);
  // It has what it shall have, and answers whoever asks it.
  assert.equal(summary(preferred).Programmed, 'True AllNodesProgrammed');
  assert.deepEqual(preferred.nodes, { selected: 2, updated: 2, ready: 2, failed: 0 });
  const down = { a: serving, b: { failure: 'port 53 is taken', bypass: 'nothing to lead there' } };
  assert.equal(summary(status({ reports: down, profile: required })).Degraded, 'True NodesFailed');
});

test('that nothing is to be intercepted, or not any more, is no failure', () => {
  const said = (reason: string, status: 'True' | 'False', withdrawn = false) => {
    const intercepting = { type: 'Intercepting', status, reason, message: '', lastTransitionTime: '' };
    const spec = { profile: 'p', revision: 'r', config: {}, ...(withdrawn && { withdrawnAt: '2026-01-01T00:00:00Z' }) };
    return writtenFacts({ metadata: { name: 'n' }, spec, status: { conditions: [intercepting] } }).report.bypass;
  };
  assert.equal(said('Intercepting', 'True'), undefined);
  assert.equal(said('NotWanted', 'False'), undefined);
  assert.equal(said('Withdrawn', 'False', true), undefined);
  assert.equal(said('PortTaken', 'False'), 'PortTaken');
});

test('a configuration of another profile that a node still holds does not count', () => {
  const written: StatusInput['written'] = (name) => ({
    ...{ name, uid: '', ownerUid: '', profile: 'other', revision: 'r2', isIntact: true },
    ...{ profileRevision: 'other-1', trial: undefined, writtenAtMs: 0, withdrawnAtMs: undefined, hasLeft: false },
    report: {
      ...{ appliedRevision: 'r2', isServing: true, isRefused: false },
      ...{ measures: false, health: undefined, failure: undefined },
    },
  });
  assert.equal(status({ written }).nodes?.updated, 0);
});

test('errors make it not Accepted with each field, and the nodes are measured by the revision accepted last', () => {
  const before = { ...profile, status: { revision: 'r1' } };
  const refused = status({
    profile: before,
    plan: {
      revision: undefined,
      errors: [
        { field: 'spec.mode', message: 'bad' },
        { field: 'spec.priority', message: 'worse' },
      ],
    },
    reports: { a: { appliedRevision: 'r1', isServing: true }, b: { appliedRevision: 'r1', isServing: true } },
  });
  assert.equal(summary(refused).Accepted, 'False Invalid');
  assert.match(
    condition(refused, 'Accepted').message,
    /^spec.mode: bad; spec.priority: worse. Nodes keep the last good/,
  );
  assert.equal(summary(refused).Programmed, 'False Invalid');
  assert.equal(refused.revision, 'r1');
  assert.equal(refused.nodes?.ready, 2);
});

test('what is left out is told with each field, and is told anew when it changes', () => {
  const parts = (...fields: string[]) =>
    status({
      plan: { leftOut: fields.map((field) => ({ field, message: 'bad' })) },
      reports: { a: serving, b: serving },
    });
  const one = parts('spec.redirects[0].target.serviceRef');
  assert.equal(summary(one).Accepted, 'True PartiallyInvalid');
  assert.equal(
    condition(one, 'Accepted').message,
    'spec.redirects[0].target.serviceRef: bad. This is left out, and the rest is served.',
  );
  assert.equal(summary(one).Programmed, 'True AllNodesProgrammed');
  const told = (old: ProfileStatus | undefined, next: ProfileStatus) =>
    newTroubles(old, next).map(({ reason }) => reason);
  assert.deepEqual(told(undefined, one), ['PartiallyInvalid']);
  assert.deepEqual(told(one, one), []);
  assert.deepEqual(told(one, parts('spec.redirects[1].target.serviceRef')), ['PartiallyInvalid']);
  assert.deepEqual(told(one, status({})), []);
  const many = parts(...Array.from({ length: 25 }, (_, at) => `spec.redirects[${at}].match.patterns[0]`));
  assert.match(condition(many, 'Accepted').message, /redirects\[19\][^;]*; and 5 more\. This/);
});

test('a disabled profile says so, and names the nodes that are still being taken out', () => {
  const disabled = { isDisabled: true, revision: undefined };
  assert.equal(summary(status({ plan: disabled })).Progressing, 'False ModeDisabled');
  const leaving = status({ plan: disabled, reports: { b: serving } });
  assert.equal(summary(leaving).Progressing, 'True ModeDisabled');
  assert.match(condition(leaving, 'Progressing').message, /b/);
  assert.equal(summary(leaving).Programmed, 'False ModeDisabled');
});

test('a deleted profile says what is taken from its nodes, and whom the others wait for, and until when', () => {
  const untilMs = Date.UTC(2026, 0, 1, 0, 1);
  const heirs: Heir[] = [
    { profile: 'q', nodes: ['b'], is: 'idle', untilMs },
    { profile: 'r', nodes: ['c'], is: 'rolling' },
    { profile: 'r', nodes: ['d'], is: 'giving' },
    { profile: 's', nodes: ['e'], is: 'unknown' },
  ];
  const held = ['a', 'b', 'c', 'd', 'e', 'f'];
  const leaving = status({
    profile: { ...profile, metadata: { ...profile.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } },
    plan: { isDisabled: true, revision: undefined, selected: held, heirs },
    reports: Object.fromEntries(held.map((node) => [node, serving])),
    unreachable: ['c', 'f'],
  });
  assert.equal(summary(leaving).Progressing, 'True Deleting');
  assert.equal(
    condition(leaving, 'Progressing').message,
    [
      'Taking the configuration from a.',
      'f cannot be reached: nobody waits longer than a minute for that.',
      'b should be served by q, which gives nothing now: from 2026-01-01T00:01:00Z on nobody waits for it, and nobody serves them.',
      'c will be served by r, whose rollout is under way.',
      'd: handed over to r.',
      'e should be served by s, of which is not known yet what it means.',
    ].join(' '),
  );
  assert.match(condition(leaving, 'Programmed').message, /no node is to be served by it/);
});

test('a profile without nodes says how to give it some', () => {
  const empty = status({ plan: { selected: [] } });
  assert.equal(summary(empty).Programmed, 'True NoNodesSelected');
  assert.match(condition(empty, 'Programmed').message, /label nodes localdns.dev\/profile=p/);
});

test('without a cluster DNS Service the profile is Degraded with the option that helps', () => {
  const lost = status({ isClusterDnsFound: false, reports: { a: serving, b: serving } });
  assert.equal(summary(lost).Degraded, 'True ClusterDNSNotFound');
  assert.match(condition(lost, 'Degraded').message, /--cluster-dns-service/);
});

test('a conflict names the other profile and the nodes', () => {
  const tied = status({
    plan: { conflict: { profiles: { first: ['q'], count: 1 }, nodes: { first: ['a', 'b', 'c'], count: 4 } } },
  });
  assert.equal(summary(tied).Conflicted, 'True SamePriority');
  assert.match(condition(tied, 'Conflicted').message, /a, b, c and 1 more with priority 0, as q does/);
});

test('where hundreds conflict one more changes nothing of what is said to each of them', () => {
  const said = (profiles: number, nodes: number): string => {
    const [others, where] = [
      { first: ['p', 'q', 'r'], count: profiles },
      { first: ['a', 'b', 'c'], count: nodes },
    ];
    return condition(status({ plan: { conflict: { profiles: others, nodes: where } } }), 'Conflicted').message;
  };
  assert.match(
    said(103, 4_203),
    /a, b, c and 1000 more at least with priority 0, as p, q, r and 100 more at least does/,
  );
  assert.equal(said(104, 4_204), said(103, 4_203));
  assert.match(said(12, 13), /a, b, c and 10 more at least with priority 0, as p, q, r and 9 more does/);
});

test('a condition keeps its transition time until its status changes', () => {
  const first = status({ reports: { a: serving, b: serving } });
  const later = { profile: { ...profile, status: first }, nowMs: Date.UTC(2026, 0, 2) };
  assert.ok(isSameStatus(first, status({ ...later, reports: { a: serving, b: serving } })));
  const changed = status({ ...later, reports: { a: serving } });
  assert.equal(condition(changed, 'Programmed').lastTransitionTime, '2026-01-02T00:00:00Z');
  assert.equal(condition(changed, 'Accepted').lastTransitionTime, '2026-01-01T00:00:00Z');
  assert.ok(!isSameStatus(first, changed));
});

test('a status read back with its conditions in another order is the same', () => {
  const first = status({});
  assert.ok(isSameStatus({ ...first, conditions: [...(first.conditions ?? [])].reverse() }, first));
});

test('only what has just become bad is worth an event', () => {
  const required = { ...profile, spec: { mode: 'Required' as const } };
  const good = status({ profile: required, reports: { a: serving, b: serving } });
  const bad = status({ profile: required, reports: { a: { failure: 'no' }, b: serving } });
  assert.deepEqual(
    newTroubles(good, bad).map(({ type }) => type),
    ['Degraded'],
  );
  assert.deepEqual(newTroubles(bad, bad), []);
  assert.deepEqual(newTroubles(bad, good), []);
  assert.deepEqual(newTroubles(undefined, good), []);
});

test('what an agent said of an older configuration is no failure of the one that stands there now', () => {
  const refused = (observedGeneration: number) => ({
    metadata: { name: 'n', generation: 2 },
    spec: { profile: 'p', revision: 'r', config: {} },
    status: {
      conditions: [
        {
          type: 'ConfigApplied',
          status: 'False' as const,
          reason: 'Refused',
          message: 'no',
          lastTransitionTime: '',
          observedGeneration,
        },
      ],
    },
  });
  assert.equal(writtenFacts(refused(1)).report.failure, undefined);
  assert.equal(writtenFacts(refused(2)).report.failure, 'no');
});

const nothing = { first: [], count: 0 };

test('network policies that keep pods from the agents are named with what they lack, where they are looked for', () => {
  const reports = { a: serving, b: serving };
  assert.equal('NetworkPolicyConflict' in summary(status({ reports })), false);
  const none = status({ reports, policyFinding: { kind: 'known', conflicts: nothing, unread: nothing } });
  assert.equal(summary(none).NetworkPolicyConflict, 'False NoneFound');
  const first = Array.from({ length: 20 }, (_, at) => ({
    policy: `shop/p${at}`,
    cidrs: ['10.96.0.10/32', '169.254.10.11/32'],
  }));
  const conflicts = { first, count: 22 };
  const some = status({ reports, policyFinding: { kind: 'known', conflicts, unread: nothing } });
  assert.equal(summary(some).NetworkPolicyConflict, 'True QueriesDropped');
  const { message } = condition(some, 'NetworkPolicyConflict');
  assert.match(message, /ipBlock.* shop\/p0: 10\.96\.0\.10\/32, 169\.254\.10\.11\/32; shop\/p1: /);
  assert.match(message, /shop\/p19: [^;]*; and 2 more$/);
  const unread = { first: ['shop/odd'], count: 1 };
  const dark = status({ reports, policyFinding: { kind: 'known', conflicts: nothing, unread } });
  assert.equal(summary(dark).NetworkPolicyConflict, 'Unknown NetworkPoliciesUnread');
  assert.match(condition(dark, 'NetworkPolicyConflict').message, /not be understood or compared: shop\/odd\.$/);
  const both = status({ reports, policyFinding: { kind: 'known', conflicts, unread } });
  assert.equal(summary(both).NetworkPolicyConflict, 'True QueriesDropped');
  assert.match(
    condition(both, 'NetworkPolicyConflict').message,
    /2 more\. .* not be understood or compared: shop\/odd\.$/,
  );
  const unknown = status({ reports, policyFinding: { kind: 'unknown', why: 'they cannot be read' } });
  assert.equal(summary(unknown).NetworkPolicyConflict, 'Unknown NetworkPoliciesUnread');
  assert.equal(condition(unknown, 'NetworkPolicyConflict').message, 'they cannot be read');
});

test('what was said of network policies stands as it is while it is not found out anew, and no longer', () => {
  const conflicts = { first: [{ policy: 'shop/p', cidrs: ['10.96.0.10/32'] }], count: 1 };
  const before = status({ policyFinding: { kind: 'known', conflicts, unread: nothing } });
  const stands = condition(before, 'NetworkPolicyConflict');
  const edited: LocalDnsProfile = { metadata: { name: 'p', generation: 4 }, spec: {}, status: before };
  const later = { profile: edited, nowMs: 60_000 };
  const kept = status({ ...later, policyFinding: { kind: 'pending' } });
  assert.deepEqual(condition(kept, 'NetworkPolicyConflict'), stands);
  assert.equal(condition(kept, 'Accepted').observedGeneration, 4);
  assert.equal('NetworkPolicyConflict' in summary(status({ policyFinding: { kind: 'pending' } })), false);
  assert.equal('NetworkPolicyConflict' in summary(status(later)), false);
});

const course = (phase: RolloutPhase, more: Partial<RolloutState> = {}): Course => ({
  state: { phase, target: 'p-new', good: 'p-old', startedAt: '2026-01-01T00:00:00Z', ...more },
  ...{ isNews: false, isAccepted: true, updated: 1, onTrial: 1, lookAgainAtMs: undefined },
  unproven: new Set(['a']),
  ...{ carried: new Map(), renderings: new Map(), gifts: new Map() },
});
const why = { reason: 'ProbeFailed', message: 'a: x.example: SERVFAIL' };
const again = 'Edit the profile, or set rollout.paused to true and back to false to try it again.';
const back = `p-new failed: ProbeFailed: a: x.example: SERVFAIL. Nodes return to p-old. ${again}`;
const kept = `p-new failed: ProbeFailed: a: x.example: SERVFAIL. Nodes keep what they have. ${again}`;
const count = '1 of 2 nodes carry p-new, 1 of them on trial.';

for (const [phase, failure, progressing, message] of [
  ['Canary', {}, 'True CanarySoaking', count],
  ['Batch', {}, 'True RollingOut', count],
  ['Paused', {}, 'False RolloutPaused', `rollout.paused is set: ${count}`],
  ['RollingBack', why, 'True RollingBack', back],
  ['RolledBack', why, 'False RolledBack', back],
  ['Halted', why, 'False RolloutHalted', kept],
] as const) {
  test(`a rollout in the phase ${phase} shows in the conditions: ${progressing}`, () => {
    const told = status({ plan: { course: course(phase, failure) }, reports: { a: serving } });
    assert.equal(summary(told).Progressing, progressing);
    assert.equal(condition(told, 'Progressing').message, message);
    const isFailed = failure === why;
    assert.equal(summary(told).Degraded, isFailed ? 'True RolloutFailed' : 'False Healthy');
    assert.equal(condition(told, 'Programmed').status, 'False');
    if (isFailed) assert.equal(condition(told, 'Programmed').message, message);
    assert.deepEqual([told.rollout?.phase, told.rollout?.updated, told.rollout?.onTrial], [phase, 1, 1]);
  });
}

for (const [phase, failure, progressing, fate, programmed = fate] of [
  [
    ...['Batch', {}, `True RollingOut: The newest spec is not accepted. Accepted last: ${count}`],
    ...['Meanwhile p-new, which was accepted last, is rolled out.'],
    'Meanwhile p-new, which was accepted last, is rolled out. 0 of 2 nodes serve it.',
  ],
  [
    ...['Canary', {}, `True CanarySoaking: The newest spec is not accepted. Accepted last: ${count}`],
    ...['Meanwhile p-new, which was accepted last, is rolled out.'],
    'Meanwhile p-new, which was accepted last, is rolled out. 0 of 2 nodes serve it.',
  ],
  [
    ...[
      'Paused',
      {},
      `False RolloutPaused: The newest spec is not accepted. Accepted last: rollout.paused is set: ${count}`,
    ],
    'Nodes keep what they have: the rollout of p-new, which was accepted last, is paused.',
  ],
  [
    ...['RollingBack', why, `True RollingBack: The newest spec is not accepted. Accepted last: ${back}`],
    ...['Meanwhile nodes return from p-new, which was accepted last, to p-old.', `Accepted last: ${back}`],
  ],
  [
    ...['RolledBack', why, `False RolledBack: The newest spec is not accepted. Accepted last: ${back}`],
    ...['Nodes keep the last good configuration.', `Accepted last: ${back}`],
  ],
  [
    ...['Halted', why, `False RolloutHalted: The newest spec is not accepted. Accepted last: ${kept}`],
    'Nodes keep what they have: the rollout of p-new, which was accepted last, has halted.',
    `Accepted last: ${kept}`,
  ],
  [
    ...['Done', {}, 'False Invalid: Nothing is rolled out: the profile is not accepted.'],
    'Nodes keep the last good configuration.',
  ],
] as const) {
  test(`while the newest spec is not accepted, the conditions tell what becomes of the one before: ${phase}`, () => {
    const errors = [{ field: 'spec.mode', message: 'bad' }];
    const before = { ...course(phase, failure), isAccepted: false };
    const told = status({ plan: { course: before, errors, revisions: ['r2'] }, reports: { a: serving } });
    const { Accepted, Programmed, Progressing } = summary(told);
    assert.deepEqual([Accepted, Programmed], ['False Invalid', 'False Invalid']);
    assert.equal(`${Progressing}: ${condition(told, 'Progressing').message}`, progressing);
    assert.equal(condition(told, 'Accepted').message, `spec.mode: bad. ${fate}`);
    assert.equal(condition(told, 'Programmed').message, `The newest spec is not accepted. ${programmed}`);
  });
}

test('where what is good cannot be given, it is said in every phase that the nodes that carry it keep it as it stands', () => {
  const lost = (phase: RolloutPhase, carries = 'p-old'): Course => ({
    ...course(phase, phase === 'RolledBack' ? why : {}),
    ...{ goodLost: 'is not kept any more', carried: new Map([['a', 'p-new']]).set('b', carries) },
  });
  const stands = ' Nodes that carry p-old, the last good one, keep it as it stands, for it is not kept any more.';
  const said = (one: Course, errors: FieldError[] = []) =>
    condition(status({ plan: { course: one, errors } }), errors.length > 0 ? 'Accepted' : 'Progressing').message;
  assert.equal(said(lost('Canary')), `${count}${stands}`);
  assert.equal(said(lost('Batch')), `${count}${stands}`);
  assert.equal(said(lost('Paused')), `rollout.paused is set: ${count}${stands}`);
  assert.equal(said(lost('Batch', 'p-new')), count);
  const failed = 'p-new failed: ProbeFailed: a: x.example: SERVFAIL. Nodes keep what they have';
  const rolledBack = `${failed}, for p-old, the last good one, is not kept any more. ${again}`;
  assert.equal(said(lost('RolledBack')), rolledBack);
  assert.equal(condition(status({ plan: { course: lost('RolledBack') } }), 'Degraded').message, rolledBack);
  const refused = 'spec.mode: bad. Nodes keep the last good configuration.';
  const errors = [{ field: 'spec.mode', message: 'bad' }];
  assert.equal(said({ ...lost('Done'), isAccepted: false }, errors), `${refused}${stands}`);
});

test('what was accepted last and cannot be served any more is not rolled out, whatever its phase', () => {
  const errors = [{ field: 'spec.mode', message: 'bad' }];
  const batch = { ...course('Batch'), isAccepted: false };
  const look = (onTrial: number) => status({ plan: { course: { ...batch, onTrial }, errors, revisions: [] } });
  const told = look(0);
  assert.equal(condition(told, 'Progressing').message, 'Nothing is rolled out: the profile is not accepted.');
  assert.equal(condition(told, 'Accepted').message, 'spec.mode: bad. Nodes keep the last good configuration.');
  // Somebody is still to tell what he makes of it.
  assert.match(condition(look(1), 'Progressing').message, /1 of 2 nodes carry p-new, 1 of them on trial/);
});

test('that a revision failed where it came late is told, and that it is not given to others any more', () => {
  const told = status({ plan: { course: course('Done', why) }, reports: { a: serving, b: serving } });
  const message = `p-new failed on nodes that came late: ProbeFailed: a: x.example: SERVFAIL. Nodes that come late keep what they have, and those that nobody serves try it where there is room. ${again}`;
  const { status: is, reason, message: said } = condition(told, 'Degraded');
  assert.deepEqual([is, reason, said], ['True', 'LateNodesFailed', message]);
  assert.deepEqual([told.rollout?.phase, told.rollout?.reason], ['Done', 'ProbeFailed']);
});

test('a pause makes nothing better of what has failed', () => {
  const look = (state: Course) => condition(status({ plan: { course: state } }), 'Degraded');
  const failed = look(course('Paused', why));
  const fate = `p-new failed: ProbeFailed: a: x.example: SERVFAIL. Nodes keep what they have. ${again}`;
  assert.deepEqual([failed.status, failed.reason, failed.message], ['True', 'RolloutFailed', fate]);
  const late = course('Paused', why);
  const lateToo = look({ ...late, state: { ...late.state, good: late.state.target } });
  assert.deepEqual([lateToo.status, lateToo.reason], ['True', 'LateNodesFailed']);
  assert.equal(look(course('Paused')).status, 'False');
});

test('that a rollout is paused is said where it is over, too: those that come late wait', () => {
  const paused = { ...profile, spec: { rollout: { paused: true } } };
  const plan = { course: course('Done') };
  assert.equal(summary(status({ profile: paused, plan })).Progressing, 'False RolloutPaused');
  assert.notEqual(summary(status({ plan })).Progressing, 'False RolloutPaused');
});

test('a node that failed already does not hide that a rollout failed: there is an Event for each, once', () => {
  const failing = { b: { failure: 'port 53 is taken' } };
  const required = { ...profile, spec: { mode: 'Required' } } as const;
  const before = status({ profile: required, reports: failing });
  const after = status({
    profile: { ...required, status: before },
    plan: { course: course('RollingBack', why) },
    reports: failing,
  });
  assert.deepEqual(
    newTroubles(before, after).map(({ reason }) => reason),
    ['RolloutFailed'],
  );
  const later = status({
    profile: { ...required, status: after },
    plan: { course: course('RolledBack', why) },
    reports: failing,
  });
  assert.deepEqual(newTroubles(after, later), []);
  const inPause = status({ profile: { ...required, status: after }, plan: { course: course('Paused', why) } });
  assert.notEqual(condition(inPause, 'Degraded').message, condition(after, 'Degraded').message);
  assert.deepEqual(newTroubles(after, inPause), []);
});

test('nor that it failed where it came late, whatever words are found for it', () => {
  const failing = { b: { failure: 'port 53 is taken' } };
  const required = { ...profile, spec: { mode: 'Required' } } as const;
  const before = status({ profile: required, reports: failing });
  const late = (message: string, from: typeof before) =>
    status({
      ...{ profile: { ...required, status: from }, reports: failing },
      plan: { course: course('Done', { ...why, message }) },
    });
  const after = late('a: nothing was heard since', before);
  assert.deepEqual(
    newTroubles(before, after).map(({ reason }) => reason),
    ['LateNodesFailed'],
  );
  assert.deepEqual(newTroubles(after, late('1 that is not there any more', after)), []);
});

test('what is not known of a rollout now stays as it was said', () => {
  const rollout = { phase: 'Batch', target: 'p-new' } as const;
  assert.deepEqual(status({ profile: { ...profile, status: { rollout } } }).rollout, rollout);
});
