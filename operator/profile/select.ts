import { optOut } from '../../api/v1alpha1/labels.ts';
import type { LabelSelector, LocalDnsProfile } from '../../api/v1alpha1/profile.ts';
import { isLinux, type NodeFacts, profileLabelOf } from './facts.ts';

/** What selection makes of one node. */
export type Choice =
  | { readonly kind: 'profile'; readonly profile: string }
  | { readonly kind: 'none' }
  /** The node's label names a profile that does not exist: the node keeps what it had. */
  | { readonly kind: 'missing'; readonly profile: string };

/** Profiles that lay claim to the same nodes with the same priority, seen from one of them. */
export interface Conflict {
  /** Names of the others, sorted. */
  readonly profiles: readonly string[];
  /** The nodes concerned, in the order given. */
  readonly nodes: readonly string[];
}

export interface Selection {
  readonly choices: ReadonlyMap<string, Choice>;
  /** By profile; profiles without a conflict are absent. */
  readonly conflicts: ReadonlyMap<string, Conflict>;
}

/** It is being deleted: it serves nobody any more, and its name in a label is no mistake yet. */
export function isLeaving({ metadata }: LocalDnsProfile): boolean {
  return metadata.deletionTimestamp !== undefined;
}

/** Which profile serves which node. Pure. */
export function select(profiles: readonly LocalDnsProfile[], nodes: Iterable<NodeFacts>): Selection {
  const leaving = new Set(profiles.filter(isLeaving).map(({ metadata }) => metadata.name));
  const names = new Set(profiles.map(({ metadata }) => metadata.name));
  const claimants = profiles
    .filter((profile) => profile.spec.nodeSelector !== undefined && !isLeaving(profile))
    .sort(byPrecedence);
  const choices = new Map<string, Choice>();
  const ties = new Map<string, { profiles: Set<string>; nodes: string[] }>();

  for (const node of nodes) {
    const byLabel = labelled(node, names, leaving);
    if (byLabel !== undefined) {
      choices.set(node.name, byLabel);
      continue;
    }
    const matching = claimants.filter(({ spec }) => matches(spec.nodeSelector ?? {}, node.labels));
    const [first] = matching;
    if (first === undefined) {
      choices.set(node.name, { kind: 'none' });
      continue;
    }
    choices.set(node.name, { kind: 'profile', profile: first.metadata.name });
    const tied = matching.filter((profile) => priorityOf(profile) === priorityOf(first));
    if (tied.length > 1) addTie(ties, tied, node.name);
  }
  return { choices, conflicts: new Map([...ties].map(([name, tie]) => [name, conflictOf(tie)])) };
}

/** What settles a node before any selector is asked, first hit wins; undefined where selectors decide. */
function labelled(node: NodeFacts, profiles: ReadonlySet<string>, leaving: ReadonlySet<string>): Choice | undefined {
  if (!isLinux(node)) return { kind: 'none' };
  const name = profileLabelOf(node);
  if (name === undefined) return undefined;
  if (name === optOut || leaving.has(name)) return { kind: 'none' };
  return profiles.has(name) ? { kind: 'profile', profile: name } : { kind: 'missing', profile: name };
}

/** Whether a node's labels meet a selector: all labels and all expressions (meta/v1 LabelSelector); an empty one matches all. */
export function matches(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  // Only what is there by its own: every object has a `constructor`.
  const labelOf = (key: string): string | undefined => (Object.hasOwn(labels, key) ? labels[key] : undefined);
  const byLabels = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labelOf(key) === value);
  return (
    byLabels && (selector.matchExpressions ?? []).every((requirement) => meets(requirement, labelOf(requirement.key)))
  );
}

function meets(
  { operator, values }: NonNullable<LabelSelector['matchExpressions']>[number],
  value: string | undefined,
): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && (values ?? []).includes(value);
    case 'NotIn':
      // A node without the label is not in the list either (labels.Requirement.Matches).
      return value === undefined || !(values ?? []).includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

/** Highest priority first; of equals the older, then by name, so that every run decides alike. */
function byPrecedence(a: LocalDnsProfile, b: LocalDnsProfile): number {
  const older = compare(a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? '');
  return priorityOf(b) - priorityOf(a) || older || compare(a.metadata.name, b.metadata.name);
}

function priorityOf({ spec }: LocalDnsProfile): number {
  return spec.priority ?? 0;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function addTie(
  ties: Map<string, { profiles: Set<string>; nodes: string[] }>,
  tied: readonly LocalDnsProfile[],
  node: string,
): void {
  for (const { metadata } of tied) {
    const tie = ties.get(metadata.name) ?? { profiles: new Set(), nodes: [] };
    for (const other of tied) if (other.metadata.name !== metadata.name) tie.profiles.add(other.metadata.name);
    tie.nodes.push(node);
    ties.set(metadata.name, tie);
  }
}

function conflictOf({ profiles, nodes }: { profiles: Set<string>; nodes: string[] }): Conflict {
  return { profiles: [...profiles].sort(), nodes };
}
