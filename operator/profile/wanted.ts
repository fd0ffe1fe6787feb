/**
 * Which revision of a profile its nodes shall have. A Service that a redirect leads to may come long after the edit that names it: what the
 * redirect makes of queries is tried then, by a rollout of its own, and not by every node at once. What was tried follows its Service at once.
 */
import { isDeepStrictEqual } from 'node:util';
import type { LocalDnsProfile, ProfileSpec } from '../../api/v1alpha1/profile.ts';
import type { RolloutPhase } from '../../api/v1alpha1/rollout-settings.ts';
import type { Verdict } from './judge.ts';
import { type Intent, intentOf, type RevisionFacts, revisionName } from './revisions.ts';
import type { RolloutState } from './rollout-state.ts';

export interface Wanted {
  readonly name: string;
  /** What is kept under that name. */
  readonly intent: Intent;
}

/** @param without redirects, by their places, that are no part of it */
export type WantedBy = (profile: LocalDnsProfile, without?: readonly number[]) => Wanted;

/** Names each profile's revision once for as long as it is not edited. */
export function rememberingNames(): WantedBy {
  const whole = new WeakMap<ProfileSpec, Wanted & { readonly key: string }>();
  const reduced: typeof whole = new WeakMap();
  return (profile, without = []) => {
    const { spec } = profile;
    const known = without.length === 0 ? whole : reduced;
    const key = without.join();
    const before = known.get(spec);
    if (before?.key === key) return before;
    const intent = intentOf(without.length === 0 ? spec : reducedBy(spec, without));
    const wanted = { name: revisionName(profile, intent), intent, key };
    known.set(spec, wanted);
    return wanted;
  };
}

export interface Before {
  readonly state: RolloutState | undefined;
  readonly revision: (name: string) => RevisionFacts | undefined;
}

/** Of an accepted profile. Pure but for what `by` remembers. */
export function wantedOf(
  profile: LocalDnsProfile,
  { leftOut }: Verdict & { readonly kind: 'rendered' },
  { state, revision }: Before,
  by: WantedBy,
): Wanted {
  const whole = by(profile);
  const missing = leftOut.flatMap(({ field }) => serviceField.exec(field)?.[1] ?? []).map(Number);
  if (missing.length === 0) return whole;
  const { good, target } = state ?? {};
  const isTried = state !== undefined && triedPhases.includes(state.phase);
  if (whole.name === good || (isTried && whole.name === target)) return whole;
  const known = [...redirectsOf(good, revision)];
  // What an edit replaces may have failed by what this one has, too.
  if (isTried && isOfSameEdit(target, profile.spec, revision)) known.push(...redirectsOf(target, revision));
  const { redirects = [] } = profile.spec;
  return by(
    profile,
    missing.filter((at) => !known.some((redirect) => isDeepStrictEqual(redirect, redirects[at]))),
  );
}

/** Also of one that there is no room for: it is the Service that has so many addresses. */
const serviceField = /^spec\.redirects\[(\d+)\]\.target\.serviceRef$/;

/** The canary has told what it makes of the target, or there is none. */
const triedPhases: readonly RolloutPhase[] = ['Batch', 'Done', 'Halted', 'RollingBack', 'RolledBack'];

type Redirects = NonNullable<ProfileSpec['redirects']>;

function redirectsOf(name: string | undefined, revision: Before['revision']): Redirects {
  return (name === undefined ? undefined : revision(name)?.specs.Preferred.redirects) ?? [];
}

/** It is of this spec, but for redirects that it may lack. */
function isOfSameEdit(name: string | undefined, spec: ProfileSpec, revision: Before['revision']): boolean {
  const specs = name === undefined ? undefined : revision(name)?.specs;
  if (specs === undefined) return false;
  const { redirects: had = [], ...rest } = intentOf(specs.Preferred);
  const { redirects = [], ...others } = intentOf(spec);
  return isDeepStrictEqual(rest, others) && had.every((one) => redirects.some((two) => isDeepStrictEqual(one, two)));
}

function reducedBy({ redirects = [], ...spec }: ProfileSpec, without: readonly number[]): ProfileSpec {
  const left = redirects.filter((_, at) => !without.includes(at));
  // As one says it who has no redirect.
  return left.length === 0 ? spec : { ...spec, redirects: left };
}
