/** What label selectors mean (meta/v1 LabelSelector): for one set of labels, and for those of many nodes at once. Pure. */
import type { LabelSelector } from '../../api/v1alpha1/profile.ts';
import { NodeSet } from './node-set.ts';

type Labels = Readonly<Record<string, string>>;
type Requirement = NonNullable<LabelSelector['matchExpressions']>[number];

/** Whether labels meet a selector: all labels and all expressions; an empty one matches all. */
export function matches(selector: LabelSelector, labels: Labels): boolean {
  // Only what is there by its own: every object has a `constructor`.
  const labelOf = (key: string): string | undefined => (Object.hasOwn(labels, key) ? labels[key] : undefined);
  const byLabels = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labelOf(key) === value);
  return (
    byLabels && (selector.matchExpressions ?? []).every((requirement) => meets(requirement, labelOf(requirement.key)))
  );
}

function meets({ operator, values }: Requirement, value: string | undefined): boolean {
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

/** The labels that a selector looks at. */
export function keysOf({ matchLabels = {}, matchExpressions = [] }: LabelSelector): string[] {
  return [...Object.keys(matchLabels), ...matchExpressions.map(({ key }) => key)];
}

/**
 * Nodes by their labels. A selector may list two thousand values: they are looked up here once each, and not compared with the labels of each
 * node.
 */
export class LabelIndex {
  readonly nodes = new NodeSet();
  readonly #keys: ReadonlySet<string>;
  readonly #byLabel = new Map<string, Map<string, number[]>>();
  /** As far as it was asked for. */
  readonly #byKey = new Map<string, NodeSet>();

  /** @param keys the labels that will be asked for */
  constructor(keys: ReadonlySet<string>) {
    this.#keys = keys;
  }

  add(node: number, labels: Labels): void {
    this.nodes.add(node);
    for (const key of Object.keys(labels)) {
      if (!this.#keys.has(key)) continue;
      const value = labels[key] ?? '';
      const byValue = this.#byLabel.get(key) ?? new Map<string, number[]>();
      this.#byLabel.set(key, byValue);
      const same = byValue.get(value);
      if (same === undefined) byValue.set(value, [node]);
      else same.push(node);
    }
  }

  /** Those of the nodes that meet the selector, as {@link matches} has it. */
  matching({ matchLabels = {}, matchExpressions = [] }: LabelSelector): NodeSet {
    let left = this.nodes;
    for (const [key, value] of Object.entries(matchLabels)) left = left.intersection(this.#with(key, [value]));
    for (const { key, operator, values = [] } of matchExpressions) {
      const named = operator === 'In' || operator === 'NotIn' ? this.#with(key, values) : this.#labelled(key);
      const isAmong = operator === 'In' || operator === 'Exists';
      left = isAmong ? left.intersection(named) : left.difference(named);
    }
    return left;
  }

  #with(key: string, values: readonly string[]): NodeSet {
    const found = new NodeSet();
    const byValue = this.#byLabel.get(key);
    if (byValue === undefined) return found;
    // A value that is listed again and again, and that all nodes have, is gone through once.
    const known = new Set<readonly number[]>();
    for (const value of values) {
      const same = byValue.get(value);
      if (same !== undefined) known.add(same);
    }
    for (const same of known) for (const node of same) found.add(node);
    return found;
  }

  /** Whatever the value. */
  #labelled(key: string): NodeSet {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const found = new NodeSet();
    for (const same of this.#byLabel.get(key)?.values() ?? []) for (const node of same) found.add(node);
    this.#byKey.set(key, found);
    return found;
  }
}
