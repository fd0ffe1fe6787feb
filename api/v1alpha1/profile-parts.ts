/**
 * What no schema can judge of a profile: whether a pattern can be matched in linear time, and at what cost, and whether the Service that a redirect
 * leads to exists. What follows from it is up to `mode`: Preferred leaves out the part, Required refuses the whole.
 */
import type { RedirectSpec, ServiceRef } from './local-answers.ts';
import { PatternBudget } from './pattern.ts';
import type { ProfileSpec } from './profile.ts';
import type { FieldError } from './profile-validation.ts';

/** What a Service means as a target. */
export type ServiceTarget =
  /** None where nothing is ready behind it. */
  | { readonly kind: 'addresses'; readonly addresses: readonly string[] }
  /** For people. */
  | { readonly kind: 'unusable'; readonly reason: string }
  /** Not found out yet. */
  | { readonly kind: 'unknown' };

export type Settled =
  | {
      readonly kind: 'settled';
      /** All targets are addresses. */
      readonly spec: ProfileSpec;
      readonly leftOut: readonly FieldError[];
    }
  | { readonly kind: 'refused'; readonly errors: readonly FieldError[] }
  /** Something is not known yet: what is in force stays. */
  | { readonly kind: 'unknown' };

/** What the patterns of one redirect come to. */
export interface RedirectPatterns {
  /** Those that are left. */
  readonly good: readonly string[] | undefined;
  readonly errors: readonly FieldError[];
  /** Without its exception it would take what it shall not. */
  readonly isLost: boolean;
}

/** Of each redirect, in their order. Pattern by pattern: there may be thousands, of some milliseconds each. `spec` must have passed validateProfileSpec. */
export function* judgedPatterns({ mode, redirects = [] }: ProfileSpec): Generator<undefined, RedirectPatterns[]> {
  const parts: RedirectPatterns[] = [];
  if (mode === 'Disabled') return parts;
  const budget = new PatternBudget();
  for (const [at, { match, except }] of redirects.entries()) {
    const errors: FieldError[] = [];
    const good: string[] = [];
    for (const [of, text] of (match.patterns ?? []).entries()) {
      const message = budget.error(text);
      if (message === undefined) good.push(text);
      else errors.push({ field: `${fieldOf(at)}.match.patterns[${of}]`, message });
      yield undefined;
    }
    let isLost = false;
    for (const [of, text] of (except?.patterns ?? []).entries()) {
      const message = budget.error(text);
      if (message !== undefined) {
        isLost = true;
        const field = `${fieldOf(at)}.except.patterns[${of}]`;
        errors.push({ field, message: `${message}; without it there is no redirect` });
      }
      yield undefined;
    }
    parts.push({ good: match.patterns && good, errors, isLost });
  }
  return parts;
}

export function patternsOf({ mode, redirects = [] }: ProfileSpec): number {
  if (mode === 'Disabled') return 0;
  const counts = redirects.map(({ match, except }) => (match.patterns?.length ?? 0) + (except?.patterns?.length ?? 0));
  return counts.reduce((sum, count) => sum + count, 0);
}

/**
 * `spec` must have passed validateProfileSpec.
 * @param patterns what they come to, where that is known already
 */
export function settleParts(
  spec: ProfileSpec,
  serviceTarget: (ref: ServiceRef) => ServiceTarget,
  patterns: readonly RedirectPatterns[] = atOnce(judgedPatterns(spec)),
): Settled {
  if (spec.redirects === undefined || spec.mode === 'Disabled') return { kind: 'settled', spec, leftOut: [] };
  const parts = spec.redirects.map((redirect, at) =>
    settleRedirect(redirect, fieldOf(at), serviceTarget, patterns[at]),
  );
  if (parts.includes('unknown')) return { kind: 'unknown' };
  const known = parts.filter((part) => part !== 'unknown');
  const leftOut = known.flatMap((part) => part.errors);
  if (spec.mode === 'Required' && leftOut.length > 0) return { kind: 'refused', errors: leftOut };
  const redirects = known.flatMap(({ redirect }) => redirect ?? []);
  return { kind: 'settled', spec: { ...spec, redirects }, leftOut };
}

interface Part {
  /** Undefined where nothing is left of it. */
  redirect: RedirectSpec | undefined;
  errors: readonly FieldError[];
}

function settleRedirect(
  redirect: RedirectSpec,
  field: string,
  serviceTarget: (ref: ServiceRef) => ServiceTarget,
  { good, errors, isLost }: RedirectPatterns = none,
): Part | 'unknown' {
  const { match, target } = redirect;
  const found: ServiceTarget =
    target.serviceRef === undefined
      ? { kind: 'addresses', addresses: target.addresses ?? [] }
      : serviceTarget(target.serviceRef);
  if (found.kind === 'unknown') return 'unknown';
  if (found.kind === 'unusable') {
    return { redirect: undefined, errors: [...errors, { field: `${field}.target.serviceRef`, message: found.reason }] };
  }
  const names = { ...match, ...(good && { patterns: [...good] }) };
  const isEmpty = Object.values(names).every((list) => (list ?? []).length === 0);
  if (isEmpty || isLost) return { redirect: undefined, errors };
  return { redirect: { ...redirect, match: names, target: { addresses: [...found.addresses] } }, errors };
}

const none: RedirectPatterns = { good: undefined, errors: [], isLost: false };

/** For whoever has nothing else to do meanwhile. */
export function atOnce<Result>(steps: Generator<undefined, Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

function fieldOf(at: number): string {
  return `spec.redirects[${at}]`;
}
