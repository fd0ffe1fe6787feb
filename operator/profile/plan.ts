import { isDeepStrictEqual } from 'node:util';
import { type NodeConfig, revisionOf } from '../../api/v1alpha1/node-config.ts';
import type { LocalDnsProfile } from '../../api/v1alpha1/profile.ts';
import { defaultProfileSpec } from '../../api/v1alpha1/profile-defaults.ts';
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
  readonly clusterDns: ClusterDns;
}

/** What one profile means before nodes are looked at: refused, serving nothing, or a configuration. */
export type Verdict =
  | { readonly kind: 'refused'; readonly errors: readonly FieldError[] }
  | { readonly kind: 'disabled' }
  | { readonly kind: 'rendered'; readonly config: NodeConfig; readonly revision: string };

export type Judge = (profile: LocalDnsProfile, clusterDns: ClusterDns) => Verdict;

/** validate → select → render → roll out, for the whole world. Pure. */
export function makePlan({ profiles, nodes, written, clusterDns }: World, judgeProfile: Judge = judge): Plan {
  const verdicts = new Map(profiles.map((profile) => [profile.metadata.name, judgeProfile(profile, clusterDns)]));
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
      revision,
      isDisabled: verdict.kind === 'disabled',
      selected: mine,
      conflict: conflicts.get(name),
    });
  }
  return { intents, profiles: plans, batch, missing };
}

function judge({ spec }: LocalDnsProfile, clusterDns: ClusterDns): Verdict {
  const errors = validateProfileSpec(spec);
  if (errors.length > 0) return { kind: 'refused', errors };
  const defaulted = defaultProfileSpec(spec);
  if (defaulted.mode === 'Disabled') return { kind: 'disabled' };
  const config = renderNodeConfig(defaulted, clusterDns);
  return { kind: 'rendered', config, revision: revisionOf(config) };
}

/** Judges each profile once for as long as neither it nor the cluster DNS changes: nodes come and go far more often. */
export function rememberingJudge(): Judge {
  const known = new WeakMap<LocalDnsProfile, { readonly clusterDns: ClusterDns; readonly verdict: Verdict }>();
  return (profile, clusterDns) => {
    const before = known.get(profile);
    if (before !== undefined && isDeepStrictEqual(before.clusterDns, clusterDns)) return before.verdict;
    const verdict = judge(profile, clusterDns);
    known.set(profile, { clusterDns, verdict });
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
