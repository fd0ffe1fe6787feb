/** Selectors of pods, compared without looking at pods: one that asks for no more than another one does is about all that the other is about. Pure. */
import type { LabelSelector } from '../../api/v1alpha1/profile.ts';

/** What a selector asks for, each thing as text: equal texts ask for the same. Sorted, each once. */
export type Requirements = readonly string[];

/** Whoever asks for more labels and values than this means nobody well. */
const MAX_TERMS = 1_000;

/** Undefined where it asks for too much to be compared with others. */
export function requirementsOf({ matchLabels = {}, matchExpressions = [] }: LabelSelector): Requirements | undefined {
  const terms = matchExpressions.reduce((sum, { values = [] }) => sum + 1 + values.length, 0);
  if (Object.keys(matchLabels).length + terms > MAX_TERMS) return undefined;
  const all = new Set([
    ...Object.entries(matchLabels).map(([key, value]) => requirement(key, 'In', [value])),
    ...matchExpressions.map(({ key, operator, values = [] }) => requirement(key, operator, values)),
  ]);
  return [...all].sort();
}

/** Whether a selector that asks for these is about pods with these labels alone. */
export function meets(requirements: Requirements, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(labels).every(([key, value]) => requirements.includes(requirement(key, 'In', [value])));
}

/** What the pods of a selector need, and what somebody allows them. Each bit is one thing. */
export interface Claim {
  readonly requirements: Requirements;
  readonly needed: number;
  readonly allowed: number;
}

/** Those with the same selector. */
interface Group {
  readonly requirements: Requirements;
  needed: number;
  allowed: number;
}

/** What is granted to the pods of a selector, and by whom it is found: the numbers of its requirements, the rarest first. */
interface Grant {
  readonly allowed: number;
  readonly numbers: readonly number[];
}

/** So much is compared between two turns of others: some ten microseconds. */
const STEP = 5_000;
/** So much of one namespace: a tenth of a second. Ten thousand policies come to less, but where somebody means to cost us time. */
const MAX_COMPARED = 30_000_000;

/**
 * Of each claim, what is needed that nobody allows to its pods, or to more; undefined where it was not found out, since that takes too much
 * comparing. Each group is compared with those alone that ask for less and whose rarest requirement is one of its own.
 */
export function* lacking(claims: readonly Claim[], most = MAX_COMPARED): Generator<undefined, (number | undefined)[]> {
  const groupOf = yield* grouped(claims);
  const groups = new Set(groupOf);
  const comparison = yield* Comparison.of(groups, most);
  const granted = new Map<Group, number | undefined>();
  for (const group of groups) {
    granted.set(group, yield* comparison.grantedTo(group));
    yield undefined;
  }
  return groupOf.map((group, at) => {
    const all = granted.get(group);
    return all === undefined ? undefined : (claims[at]?.needed ?? 0) & ~all;
  });
}

/** Of each claim. */
function* grouped(claims: readonly Claim[]): Generator<undefined, Group[]> {
  const groups = new Map<string, Group>();
  const groupOf: Group[] = [];
  for (const { requirements, needed, allowed } of claims) {
    const key = requirements.join();
    const group = groups.get(key) ?? { requirements, needed: 0, allowed: 0 };
    group.needed |= needed;
    group.allowed |= allowed;
    groups.set(key, group);
    groupOf.push(group);
    yield undefined;
  }
  return groupOf;
}

class Comparison {
  /** Of what is required by any grant. */
  readonly #numbers = new Map<string, number>();
  /** By the rarest number, those that ask for least first; those that ask for nothing are about all pods. */
  readonly #byRarest = new Map<number | undefined, Grant[]>();
  /** By number, for whom it was asked for last. */
  readonly #askedBy: Uint32Array;
  #asker = 0;
  #left: number;

  static *of(groups: Iterable<Group>, most: number): Generator<undefined, Comparison> {
    const all = [...groups];
    const wanted = all.reduce((sum, { needed, allowed }) => sum | (needed & ~allowed), 0);
    const useful = all.filter(({ allowed }) => (allowed & wanted) !== 0);
    const numbers = new Map<string, number>();
    const counts: number[] = [];
    for (const { requirements } of useful) {
      for (const one of requirements) {
        const number = numbers.get(one) ?? numbers.size;
        numbers.set(one, number);
        counts[number] = (counts[number] ?? 0) + 1;
      }
      yield undefined;
    }
    const comparison = new Comparison(numbers, most);
    const bySize = Map.groupBy(useful, ({ requirements }) => requirements.length);
    for (const size of [...bySize.keys()].sort((a, b) => a - b)) {
      for (const { requirements, allowed } of bySize.get(size) ?? []) {
        comparison.#take({ allowed, numbers: rarestFirst(requirements, numbers, counts) });
        yield undefined;
      }
    }
    return comparison;
  }

  private constructor(numbers: Map<string, number>, most: number) {
    this.#numbers = numbers;
    this.#askedBy = new Uint32Array(numbers.size);
    this.#left = most;
  }

  #take(grant: Grant): void {
    const [rarest] = grant.numbers;
    const same = this.#byRarest.get(rarest);
    if (same === undefined) this.#byRarest.set(rarest, [grant]);
    else same.push(grant);
  }

  /** Undefined where it would take too long to say. */
  *grantedTo({ requirements, needed, allowed }: Group): Generator<undefined, number | undefined> {
    let granted = allowed;
    if ((needed & ~granted) === 0) return granted;
    this.#asker += 1;
    const own: (number | undefined)[] = [undefined];
    for (const one of requirements) {
      const number = this.#numbers.get(one);
      if (number === undefined) continue;
      this.#askedBy[number] = this.#asker;
      own.push(number);
    }
    let yieldAt = this.#left - STEP;
    for (const rarest of own) {
      for (const grant of this.#byRarest.get(rarest) ?? []) {
        // What asks for as much as this and is not the same asks for something else.
        if (grant.numbers.length >= requirements.length) break;
        this.#left -= 1;
        if ((grant.allowed & needed & ~granted) !== 0 && this.#isAskedFor(grant.numbers)) granted |= grant.allowed;
        if ((needed & ~granted) === 0) return granted;
        if (this.#left < 0) return undefined;
        if (this.#left > yieldAt) continue;
        yieldAt = this.#left - STEP;
        yield undefined;
      }
    }
    return granted;
  }

  #isAskedFor(numbers: readonly number[]): boolean {
    let at = 0;
    while (at < numbers.length && this.#askedBy[numbers[at] ?? 0] === this.#asker) at += 1;
    this.#left -= at;
    return at === numbers.length;
  }
}

function rarestFirst(
  requirements: Requirements,
  numbers: ReadonlyMap<string, number>,
  counts: readonly number[],
): number[] {
  const own = requirements.map((one) => numbers.get(one) ?? 0);
  return own.sort((a, b) => (counts[a] ?? 0) - (counts[b] ?? 0));
}

function requirement(key: string, operator: string, values: readonly string[]): string {
  return JSON.stringify([key, operator, [...values].sort()]);
}
