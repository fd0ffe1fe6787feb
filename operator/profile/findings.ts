import type { ProfileSpec } from '../../api/v1alpha1/profile.ts';
import { atOnce, judgedPatterns, patternsOf, type RedirectPatterns } from '../../api/v1alpha1/profile-parts.ts';
import { type FieldError, validateKeptSpec } from '../../api/v1alpha1/profile-validation.ts';

/** What of a spec is so whatever the cluster is like. */
export interface Findings {
  readonly errors: readonly FieldError[];
  readonly patterns: readonly RedirectPatterns[];
}

/** Whoever wants to do something else meanwhile goes on with it a step at a time. */
export function* find(spec: ProfileSpec): Generator<undefined, Findings> {
  const errors = validateKeptSpec(spec);
  yield undefined;
  return { errors, patterns: errors.length > 0 ? [] : yield* judgedPatterns(spec) };
}

export function foundAtOnce(spec: ProfileSpec): Findings {
  return atOnce(find(spec));
}

/** What there is to find out of one spec. */
interface Search {
  readonly steps: Generator<undefined, Findings>;
  readonly patterns: number;
}

/** A profile as people write it takes less than a millisecond, and one that is as large as etcd takes it twenty. */
const AT_ONCE_MS = 20;

/**
 * To make a pattern's machine takes milliseconds, and profiles may have thousands: that is done aside, a little at a time, or whoever decides
 * would be late for everybody else, and for the Lease. So is what many large profiles would take of one look. Each spec is searched once for as
 * long as it is the same object.
 */
export class FindingsAside {
  readonly #nowMs: () => number;
  readonly #known = new WeakMap<ProfileSpec, Findings>();
  readonly #open = new Map<ProfileSpec, Search>();
  readonly #asked = new Set<ProfileSpec>();
  /** On what was searched at once since the last look. */
  #spentMs = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Undefined while they are searched for. */
  readonly of = (spec: ProfileSpec): Findings | undefined => {
    const known = this.#known.get(spec);
    if (known !== undefined) return known;
    this.#asked.add(spec);
    if (this.#open.has(spec)) return undefined;
    const patterns = patternsOf(spec);
    if (patterns > 0 || this.#spentMs >= AT_ONCE_MS) {
      this.#open.set(spec, { steps: find(spec), patterns });
      return undefined;
    }
    const sinceMs = this.#nowMs();
    const found = foundAtOnce(spec);
    this.#spentMs += this.#nowMs() - sinceMs;
    this.#known.set(spec, found);
    return found;
  };

  get isOpen(): boolean {
    return this.#open.size > 0;
  }

  /** A look is over: what nobody has asked about since the one before is searched no longer. */
  forgetUnasked(): void {
    for (const spec of this.#open.keys()) if (!this.#asked.has(spec)) this.#open.delete(spec);
    this.#asked.clear();
    this.#spentMs = 0;
  }

  /** For so long, the shortest first. Whether something has been found. */
  goOn(forMs: number): boolean {
    const untilMs = this.#nowMs() + forMs;
    let hasFound = false;
    for (const [spec, { steps }] of [...this.#open].sort(([, a], [, b]) => a.patterns - b.patterns)) {
      while (this.#nowMs() < untilMs) {
        const { done, value } = steps.next();
        if (!done) continue;
        this.#known.set(spec, value);
        this.#open.delete(spec);
        hasFound = true;
        break;
      }
    }
    return hasFound;
  }
}
