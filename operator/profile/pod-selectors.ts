/** Selectors of pods, compared without looking at pods: one that asks for no more than another one does is about all that the other is about. Pure. */
import type { LabelSelector } from '../../api/v1alpha1/profile.ts';

/** Each thing that a selector asks for, as text: equal texts ask for the same. */
export function requirementsOf({ matchLabels = {}, matchExpressions = [] }: LabelSelector): ReadonlySet<string> {
  return new Set([
    ...Object.entries(matchLabels).map(([key, value]) => requirement(key, 'In', [value])),
    ...matchExpressions.map(({ key, operator, values = [] }) => requirement(key, operator, values)),
  ]);
}

/** Whether a selector that asks for these is about pods with these labels alone. */
export function meets(requirements: ReadonlySet<string>, labels: Readonly<Record<string, string>>): boolean {
  return requirementsOf({ matchLabels: { ...labels } }).isSubsetOf(requirements);
}

/** What somebody allows to the pods of a selector. */
export interface Grant {
  readonly requirements: ReadonlySet<string>;
  readonly allowed: ReadonlySet<string>;
}

/**
 * Finds the grants to all pods that a selector is about: those that ask for no more than it does. What is granted to the same selector is
 * one grant, and each is looked for by that of its requirements which the fewest have: to compare each with each takes minutes where there
 * are thousands.
 */
export function grantsTo(grants: Iterable<Grant>): (requirements: ReadonlySet<string>) => ReadonlySet<string>[] {
  const bySelector = [...Map.groupBy(grants, ({ requirements }) => [...requirements].sort().join()).values()];
  const merged = bySelector.flatMap((same) => {
    const allowed = new Set(same.flatMap((one) => [...one.allowed]));
    return same.slice(0, 1).map(({ requirements }): Grant => ({ requirements, allowed }));
  });
  const counts = new Map<string, number>();
  for (const { requirements } of merged) for (const one of requirements) counts.set(one, (counts.get(one) ?? 0) + 1);
  const rarest = ({ requirements }: Grant): string | undefined =>
    [...requirements].sort((a, b) => (counts.get(a) ?? 0) - (counts.get(b) ?? 0))[0];
  const byRarest = Map.groupBy(merged, rarest);
  return (requirements) =>
    [undefined, ...requirements].flatMap((one) => {
      const wider = (byRarest.get(one) ?? []).filter((grant) => grant.requirements.isSubsetOf(requirements));
      return wider.map(({ allowed }) => allowed);
    });
}

function requirement(key: string, operator: string, values: readonly string[]): string {
  return JSON.stringify([key, operator, [...values].sort()]);
}
