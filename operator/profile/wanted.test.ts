import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LocalDnsProfile, ProfileSpec } from '../../api/v1alpha1/profile.ts';
import type { ServiceTarget } from '../../api/v1alpha1/profile-parts.ts';
import type { RolloutPhase } from '../../api/v1alpha1/rollout-settings.ts';
import { type ClusterFacts, judge } from './judge.ts';
import { type Intent, intentOf, type RevisionFacts, revisionFacts, revisionName } from './revisions.ts';
import type { RolloutState } from './rollout-state.ts';
import { rememberingNames, type Wanted, wantedOf } from './wanted.ts';

type Redirect = NonNullable<ProfileSpec['redirects']>[number];
const redirect = (name: string): Redirect => ({
  ...{ name, match: { suffixes: [`${name}.example`] } },
  target: { serviceRef: { namespace: 'cloud', name } },
});
const [a, b] = [redirect('a'), redirect('b')];
const literal: Redirect = { ...redirect('c'), target: { addresses: ['192.0.2.1'] } };
const more = { searchPath: 'Report' } as const;
const profile = (spec: ProfileSpec): LocalDnsProfile => ({ metadata: { name: 'p', uid: 'u' }, spec });
const nameOf = (intent: Intent): string => revisionName(profile({}), intent);

interface Scene {
  readonly state?: RolloutState;
  /** The Services that are there; a number is that of their addresses. */
  readonly there?: Readonly<Record<string, number>>;
  /** What is kept. */
  readonly kept?: readonly Intent[];
}

function wanted(spec: ProfileSpec, { state, there = {}, kept = [] }: Scene = {}, by = rememberingNames()): Wanted {
  const serviceTarget: ClusterFacts['serviceTarget'] = ({ name }): ServiceTarget => {
    const count = there[name];
    if (count === undefined) return { kind: 'unusable', reason: `Service cloud/${name} does not exist` };
    return { kind: 'addresses', addresses: Array.from({ length: count }, (_, at) => `10.${at >> 8}.${at & 255}.1`) };
  };
  const clusterDns = { namespace: 'kube-system', service: 'kube-dns', addresses: ['10.96.0.10'] };
  const verdict = judge(spec, { clusterDns, ranges: [], serviceTarget });
  assert.ok(verdict.kind === 'rendered', JSON.stringify(verdict));
  const stored = new Map<string, RevisionFacts>(
    kept.map((intent) => {
      const name = nameOf(intent);
      return [name, revisionFacts({ metadata: { name }, data: { spec: intent }, revision: 1 })];
    }),
  );
  return wantedOf(profile(spec), verdict, { state, revision: (name) => stored.get(name) }, by);
}

const done = (intent: Intent): RolloutState => ({ phase: 'Done', target: nameOf(intent), good: nameOf(intent) });
const of = (intent: Intent): Wanted => ({ name: nameOf(intent), intent });
const is = ({ name, intent }: Wanted, expected: Intent): void => assert.deepEqual({ name, intent }, of(expected));

test('a redirect whose Service is not there yet is no part of what goes out, and comes by a revision of its own', () => {
  const spec = { ...more, redirects: [a, literal] };
  is(wanted(spec), { ...more, redirects: [literal] });
  is(wanted(spec, { state: done(more), there: { a: 1 } }), spec);
  // Without it the profile is what it was before, and nothing goes out at all.
  is(wanted({ ...more, redirects: [a] }, { state: done(more) }), more);
});

test('one without a ready address is there, and one with too many is not', () => {
  is(wanted({ redirects: [a] }, { there: { a: 0 } }), { redirects: [a] });
  is(wanted({ redirects: [a, b] }, { there: { a: 20_000, b: 1 } }), { redirects: [b] });
});

test('what a part is not valid by itself for is no reason to hold it back', () => {
  const bad: Redirect = { ...literal, match: { suffixes: ['c.example'], patterns: ['('] } };
  is(wanted({ redirects: [bad, a] }, { there: { a: 1 } }), { redirects: [bad, a] });
  is(wanted({ redirects: [bad, a] }), { redirects: [bad] });
});

test('each of several comes when its Service does, and stays when another comes', () => {
  const spec = { redirects: [a, b] };
  is(wanted(spec), {});
  is(wanted(spec, { there: { b: 1 }, state: done({}) }), { redirects: [b] });
  const kept = [{}, { redirects: [b] }];
  is(wanted(spec, { kept, state: done({ redirects: [b] }) }), { redirects: [b] });
  is(wanted(spec, { kept, there: { a: 1 }, state: done({ redirects: [b] }) }), spec);
});

test('what was tried follows its Service: it stays the target while that is gone, though what is kept of it is lost', () => {
  const spec = { redirects: [a] };
  is(wanted(spec, { state: done(spec) }), spec);
  const state = { target: nameOf(spec), good: nameOf({}) };
  const whileIn = (phase: RolloutPhase) => wanted(spec, { state: { ...state, phase } }).name;
  for (const phase of ['Batch', 'RollingBack', 'RolledBack', 'Halted', 'Done'] as const)
    assert.equal(whileIn(phase), nameOf(spec), phase);
  // The canary has not told yet what it makes of it.
  for (const phase of ['Idle', 'Canary', 'Paused'] as const) assert.equal(whileIn(phase), nameOf({}), phase);
});

test('an edit beside it takes along what all nodes had already, and no redirect that they had not, or had otherwise', () => {
  const good = { redirects: [a] };
  const edited = { ...more, redirects: [a, b] };
  is(wanted(edited, { kept: [good], state: done(good) }), { ...more, redirects: [a] });
  const other: Redirect = { ...a, match: { suffixes: ['other.example'] } };
  is(wanted({ redirects: [other] }, { kept: [good], state: done(good) }), {});
  // What it failed by may be the redirect.
  const failed = { phase: 'RolledBack', target: nameOf(good), good: nameOf({}) } as const;
  is(wanted({ ...more, redirects: [a] }, { kept: [good, {}], state: failed }), more);
});

test('of one edit with several the target keeps, past its canary, what it had tried', () => {
  const spec = { ...more, redirects: [a, b] };
  const tried = { ...more, redirects: [a] };
  const state = { target: nameOf(tried), good: nameOf({}) };
  is(wanted(spec, { kept: [tried, {}], state: { ...state, phase: 'Batch' } }), tried);
  is(wanted(spec, { kept: [tried, {}], state: { ...state, phase: 'Canary' } }), more);
});

test('an edit that takes a redirect away is another one: what is left of it is tried when its Service comes', () => {
  const failed = { ...more, redirects: [a, b] };
  const state = { phase: 'RolledBack', target: nameOf(failed), good: nameOf({}) } as const;
  is(wanted({ ...more, redirects: [a] }, { kept: [failed, {}], state }), more);
});

test('a name is found once for each edit and each set of Services that are missing', () => {
  const by = rememberingNames();
  const spec = { redirects: [a, b] };
  const first = wanted(spec, {}, by);
  assert.equal(wanted(spec, {}, by), first);
  is(wanted(spec, { there: { a: 1 } }, by), { redirects: [a] });
  is(wanted(spec, { there: { a: 1, b: 1 } }, by), intentOf(spec));
});
