import { isDeepStrictEqual } from 'node:util';
import { type NodeConfig, revisionOf } from '../../api/v1alpha1/node-config.ts';
import type { LocalDnsProfile } from '../../api/v1alpha1/profile.ts';
import { defaultProfileSpec } from '../../api/v1alpha1/profile-defaults.ts';
import { type ServiceRef, type ServiceTarget, settleParts } from '../../api/v1alpha1/profile-parts.ts';
import { type FieldError, validateProfileSpec } from '../../api/v1alpha1/profile-validation.ts';
import type { ClusterDns } from './cluster-dns.ts';
import type { NodeFacts, WrittenFacts } from './facts.ts';
import { renderNodeConfig } from './render.ts';
import { nextBatch } from './rollout.ts';
import { type Conflict, select } from './select.ts';

/** What shall be done about one node. */
export type Intent =
  | { readonly kind: 'serve'; readonly profile: string; readonly revision: string; readonly config: NodeConfig }
  | { readonly kind: 'unserve' }
  /** Nobody can say what is right: what the node has stays. */
  | { readonly kind: 'keep' };

/** What became of one profile. */
export interface ProfilePlan {
  /** Empty where the profile is accepted. */
  readonly errors: readonly FieldError[];
  /** Parts of an accepted profile that are not served. */
  readonly leftOut: readonly FieldError[];
  /** Something is not known yet of what it refers to: there is nothing to report. */
  readonly isUnknown: boolean;
  /** Of the rendered configuration; undefined where nothing is served. */
  readonly revision: string | undefined;
  readonly isDisabled: boolean;
  readonly selected: readonly string[];
  readonly conflict: Conflict | undefined;
}

/** What everybody shall have: the outcome of one look at all profiles and all nodes. */
export interface Plan {
  readonly intents: ReadonlyMap<string, Intent>;
  readonly profiles: ReadonlyMap<string, ProfilePlan>;
  /** Nodes whose configuration may be written now (see rollout.ts). */
  readonly batch: ReadonlySet<string>;
  /** Nodes whose label names a profile that does not exist, with that name. */
  readonly missing: ReadonlyMap<string, string>;
}

export interface World {
  readonly profiles: readonly LocalDnsProfile[];
  readonly nodes: readonly NodeFacts[];
  readonly written: (node: string) => WrittenFacts | undefined;
  readonly cluster: ClusterFacts;
}

/** What is the same for all nodes. */
export interface ClusterFacts {
  readonly clusterDns: ClusterDns;
  /** The networks of pods and Services. */
  readonly ranges: readonly string[];
  readonly serviceTarget: (ref: ServiceRef) => ServiceTarget;
}

/** What one profile means before nodes are looked at: refused, serving nothing, or a configuration. */
export type Verdict =
  | { readonly kind: 'refused'; readonly errors: readonly FieldError[] }
  | { readonly kind: 'disabled' }
  | { readonly kind: 'unknown' }
  | {
      readonly kind: 'rendered';
      readonly config: NodeConfig;
      readonly revision: string;
      readonly leftOut: readonly FieldError[];
    };

export type Judge = (profile: LocalDnsProfile, cluster: ClusterFacts) => Verdict;

/** validate → select → render → roll out, for the whole world. Pure. */
export function makePlan({ profiles, nodes, written, cluster }: World, judgeProfile: Judge = judge): Plan {
  const verdicts = new Map(profiles.map((profile) => [profile.metadata.name, judgeProfile(profile, cluster)]));
  const { choices, conflicts } = select(profiles, nodes);

  const intents = new Map<string, Intent>();
  const missing = new Map<string, string>();
  const selected = new Map<string, string[]>();
  for (const [node, choice] of choices) {
    if (choice.kind === 'profile') (selected.get(choice.profile) ?? startList(selected, choice.profile)).push(node);
    if (choice.kind === 'missing') missing.set(node, choice.profile);
    const verdict = choice.kind === 'profile' ? verdicts.get(choice.profile) : undefined;
    intents.set(node, intentOf(choice, verdict));
  }

  const batch = new Set<string>();
  const plans = new Map<string, ProfilePlan>();
  for (const [name, verdict] of verdicts) {
    const mine = selected.get(name) ?? [];
    const revision = verdict.kind === 'rendered' ? verdict.revision : undefined;
    if (revision !== undefined) {
      for (const node of nextBatch(
        mine.map((node) => ({ node, revision })),
        written,
      ))
        batch.add(node);
    }
    plans.set(name, {
      errors: verdict.kind === 'refused' ? verdict.errors : [],
      leftOut: verdict.kind === 'rendered' ? verdict.leftOut : [],
      isUnknown: verdict.kind === 'unknown',
      revision,
      isDisabled: verdict.kind === 'disabled',
      selected: mine,
      conflict: conflicts.get(name),
    });
  }
  return { intents, profiles: plans, batch, missing };
}

function judge({ spec }: LocalDnsProfile, { clusterDns, ranges, serviceTarget }: ClusterFacts): Verdict {
  const errors = validateProfileSpec(spec);
  if (errors.length > 0) return { kind: 'refused', errors };
  const settled = settleParts(spec, serviceTarget);
  if (settled.kind !== 'settled') return settled;
  const defaulted = defaultProfileSpec(settled.spec);
  if (defaulted.mode === 'Disabled') return { kind: 'disabled' };
  const config = renderNodeConfig(defaulted, clusterDns, ranges);
  return { kind: 'rendered', config, revision: revisionOf(config), leftOut: settled.leftOut };
}

/** Judges each profile once for as long as neither it nor what it refers to changes: nodes come and go far more often. */
export function rememberingJudge(): Judge {
  const known = new WeakMap<LocalDnsProfile, { readonly facts: unknown; readonly verdict: Verdict }>();
  return (profile, cluster) => {
    const { clusterDns, ranges, serviceTarget } = cluster;
    const refs = (profile.spec.redirects ?? []).flatMap(({ target }) => target.serviceRef ?? []);
    const facts = [clusterDns, ranges, refs.map(serviceTarget)];
    const before = known.get(profile);
    if (before !== undefined && isDeepStrictEqual(before.facts, facts)) return before.verdict;
    const verdict = judge(profile, cluster);
    known.set(profile, { facts, verdict });
    return verdict;
  };
}

function intentOf(
  choice: { readonly kind: 'none' | 'missing' } | { readonly kind: 'profile'; readonly profile: string },
  verdict: Verdict | undefined,
): Intent {
  if (choice.kind === 'none' || verdict?.kind === 'disabled') return { kind: 'unserve' };
  if (choice.kind !== 'profile' || verdict?.kind !== 'rendered') return { kind: 'keep' };
  return { kind: 'serve', profile: choice.profile, revision: verdict.revision, config: verdict.config };
}

function startList(lists: Map<string, string[]>, key: string): string[] {
  const list: string[] = [];
  lists.set(key, list);
  return list;
}
