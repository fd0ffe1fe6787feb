import { isDeepStrictEqual } from 'node:util';
import { optOut } from '../../api/v1alpha1/labels.ts';
import type { LabelSelector, LocalDnsProfile } from '../../api/v1alpha1/profile.ts';
import { isLinux, type NodeFacts, profileLabelOf } from './facts.ts';
import { keysOf, LabelIndex } from './label-selector.ts';
import { NodeSet } from './node-set.ts';

/** What selection makes of one node. */
export type Choice =
  | { readonly kind: 'profile'; readonly profile: string }
  | { readonly kind: 'none' }
  /** The node's label names a profile that does not exist: the node keeps what it had. */
  | { readonly kind: 'missing'; readonly profile: string };

/** The first few, as many as people read, and how many there are. */
export interface Few {
  readonly first: readonly string[];
  readonly count: number;
}

/** Profiles that lay claim to the same nodes with the same priority, seen from one of them. */
export interface Conflict {
  /** Names of the others, the oldest first: whoever joins in changes little of what is said to them. */
  readonly profiles: Few;
  /** The nodes concerned. */
  readonly nodes: Few;
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
export function select(profiles: readonly LocalDnsProfile[], nodes: readonly NodeFacts[]): Selection {
  const matching = new Matching(() => 0);
  matching.goOn(profiles, nodes, 0);
  return matching.selection(profiles, nodes);
}

/** The nodes that a selector is met by. */
interface Matched {
  readonly selector: LabelSelector;
  nodes: NodeSet;
  /** Of the changes of labels, how many are in it. */
  changes: number;
}

/** Before any of them: not even those nodes are in it that never change. */
const NO_CHANGES = -1;
/** As many as a message names. */
const maxNamed = 3;
const NONE: Choice = { kind: 'none' };

/**
 * Which nodes each selector is met by. Selectors may be full of values, profiles many and nodes thousands: what was found out of a selector and
 * of the labels of a node holds for as long as both stay as they are, and at a start, when all is new, others have their turn between.
 */
export class Matching {
  readonly #nowMs: () => number;
  readonly #match: (index: LabelIndex, selector: LabelSelector) => NodeSet;
  /** By the name of the profile. */
  readonly #matched = new Map<string, Matched>();
  /** By the name of the node. */
  readonly #numbers = new Map<string, number>();
  /** Of nodes that are gone. */
  readonly #free: number[] = [];
  /** By number. */
  readonly #labels: NodeFacts['labels'][] = [];
  /** By number, which of the changes was the last one of these labels. */
  readonly #changedBy: number[] = [];
  #changes = 0;

  constructor(nowMs: () => number, match = (index: LabelIndex, selector: LabelSelector) => index.matching(selector)) {
    this.#nowMs = nowMs;
    this.#match = match;
  }

  /** For so long, and one selector at least; whether all is known of these profiles and nodes. */
  goOn(profiles: readonly LocalDnsProfile[], nodes: readonly NodeFacts[], forMs: number): boolean {
    const untilMs = this.#nowMs() + forMs;
    this.#note(nodes);
    const open = this.#wanted(profiles).filter(({ changes }) => changes < this.#changes);
    let hasGoneOn = false;
    for (const [changes, alike] of Map.groupBy(open, (matched) => matched.changes)) {
      const index = this.#changedSince(changes, new Set(alike.flatMap(({ selector }) => keysOf(selector))));
      for (const matched of alike) {
        if (hasGoneOn && this.#nowMs() > untilMs) return false;
        hasGoneOn = true;
        matched.nodes = matched.nodes.difference(index.nodes).union(this.#match(index, matched.selector));
        matched.changes = this.#changes;
      }
    }
    return true;
  }

  /** Once all is known. */
  selection(profiles: readonly LocalDnsProfile[], nodes: readonly NodeFacts[]): Selection {
    const leaving = new Set(profiles.filter(isLeaving).map(({ metadata }) => metadata.name));
    const names = new Set(profiles.map(({ metadata }) => metadata.name));
    const choices = new Map<string, Choice>();
    const byNumber: string[] = [];
    let free = new NodeSet();
    for (const node of nodes) {
      const byLabel = labelled(node, names, leaving);
      choices.set(node.name, byLabel ?? NONE);
      if (byLabel !== undefined) continue;
      const number = this.#numbers.get(node.name) ?? 0;
      byNumber[number] = node.name;
      free.add(number);
    }
    const conflicts = new Map<string, Conflict>();
    const claimants = profiles.filter(isClaimant).sort(byPrecedence);
    for (const equals of Map.groupBy(claimants, priorityOf).values()) {
      const claims = equals.map(({ metadata: { name } }) => {
        return { name, nodes: (this.#matched.get(name)?.nodes ?? new NodeSet()).intersection(free) };
      });
      let [taken, tied] = [new NodeSet(), new NodeSet()];
      for (const { name, nodes: claimed } of claims) {
        const choice: Choice = { kind: 'profile', profile: name };
        for (const number of claimed.difference(taken)) choices.set(byNumber[number] ?? '', choice);
        tied = tied.union(claimed.intersection(taken));
        taken = taken.union(claimed);
      }
      free = free.difference(taken);
      if (!tied.isEmpty)
        for (const [name, conflict] of conflictsOf(claims, tied, byNumber)) conflicts.set(name, conflict);
    }
    return { choices, conflicts };
  }

  /** What is new of the nodes and their labels. */
  #note(nodes: readonly NodeFacts[]): void {
    const next = this.#changes + 1;
    for (const { name, labels } of nodes) {
      const number = this.#numbers.get(name) ?? this.#free.pop() ?? this.#labels.length;
      const isKnown = this.#numbers.has(name);
      if (isKnown && this.#labels[number] === labels) continue;
      if (!isKnown || !isDeepStrictEqual(this.#labels[number], labels)) this.#changedBy[number] = next;
      if (this.#changedBy[number] === next) this.#changes = next;
      this.#numbers.set(name, number);
      this.#labels[number] = labels;
    }
    if (this.#numbers.size === nodes.length) return;
    const here = new Set(nodes.map(({ name }) => name));
    for (const [name, number] of this.#numbers) {
      if (here.has(name)) continue;
      this.#numbers.delete(name);
      this.#free.push(number);
    }
  }

  #wanted(profiles: readonly LocalDnsProfile[]): Matched[] {
    const wanted = profiles.filter(isClaimant).map(({ metadata: { name }, spec: { nodeSelector: selector = {} } }) => {
      const known = this.#matched.get(name);
      const isSame =
        known !== undefined && (known.selector === selector || isDeepStrictEqual(known.selector, selector));
      // An edit of something else brings an equal one, and the next look is to see at once that it is the same.
      const { nodes, changes } = isSame ? known : { nodes: new NodeSet(), changes: NO_CHANGES };
      return [name, { selector, nodes, changes }] as const;
    });
    this.#matched.clear();
    for (const [name, matched] of wanted) this.#matched.set(name, matched);
    return wanted.map(([, matched]) => matched);
  }

  #changedSince(changes: number, keys: ReadonlySet<string>): LabelIndex {
    const index = new LabelIndex(keys);
    for (const number of this.#numbers.values()) {
      if ((this.#changedBy[number] ?? 0) > changes) index.add(number, this.#labels[number] ?? {});
    }
    return index;
  }
}

/** Of profiles with the same priority, by precedence. */
function conflictsOf(
  claims: readonly { readonly name: string; readonly nodes: NodeSet }[],
  tied: NodeSet,
  byNumber: readonly string[],
): [string, Conflict][] {
  const inConflict = claims
    .map(({ name, nodes }) => ({ name, nodes: nodes.intersection(tied) }))
    .filter(({ nodes }) => !nodes.isEmpty);
  return inConflict.map((one) => {
    const others = inConflict.filter((other) => other !== one && other.nodes.meets(one.nodes));
    const profiles = { first: others.slice(0, maxNamed).map(({ name }) => name), count: others.length };
    const first = one.nodes.first(maxNamed).map((number) => byNumber[number] ?? '');
    return [one.name, { profiles, nodes: { first, count: one.nodes.size } }];
  });
}

/** What settles a node before any selector is asked, first hit wins; undefined where selectors decide. */
function labelled(node: NodeFacts, profiles: ReadonlySet<string>, leaving: ReadonlySet<string>): Choice | undefined {
  if (!isLinux(node)) return { kind: 'none' };
  const name = profileLabelOf(node);
  if (name === undefined) return undefined;
  if (name === optOut || leaving.has(name)) return { kind: 'none' };
  return profiles.has(name) ? { kind: 'profile', profile: name } : { kind: 'missing', profile: name };
}

function isClaimant(profile: LocalDnsProfile): boolean {
  return profile.spec.nodeSelector !== undefined && !isLeaving(profile);
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
