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

/** `spec` must have passed validateProfileSpec. */
export function settleParts(spec: ProfileSpec, serviceTarget: (ref: ServiceRef) => ServiceTarget): Settled {
  if (spec.redirects === undefined || spec.mode === 'Disabled') return { kind: 'settled', spec, leftOut: [] };
  const budget = new PatternBudget();
  const parts = spec.redirects.map((redirect, at) =>
    settleRedirect(redirect, `spec.redirects[${at}]`, serviceTarget, budget),
  );
  if (parts.includes('unknown')) return { kind: 'unknown' };
  const known = parts.filter((part) => part !== 'unknown');
  const errors = known.flatMap((part) => part.errors);
  if (spec.mode === 'Required' && errors.length > 0) return { kind: 'refused', errors };
  const redirects = known.flatMap(({ redirect }) => redirect ?? []);
  return { kind: 'settled', spec: { ...spec, redirects }, leftOut: errors };
}

interface Part {
  /** Undefined where nothing is left of it. */
  redirect: RedirectSpec | undefined;
  errors: FieldError[];
}

function settleRedirect(
  redirect: RedirectSpec,
  field: string,
  serviceTarget: (ref: ServiceRef) => ServiceTarget,
  budget: PatternBudget,
): Part | 'unknown' {
  const { match, except, target } = redirect;
  const inMatch = patternErrors(match.patterns, `${field}.match`, budget);
  // Without its exception it would take what it shall not.
  const inExcept = patternErrors(except?.patterns, `${field}.except`, budget);
  const whole = inExcept.map((error) => ({ ...error, message: `${error.message}; without it there is no redirect` }));
  const errors = [...inMatch, ...whole];

  const found: ServiceTarget =
    target.serviceRef === undefined
      ? { kind: 'addresses', addresses: target.addresses ?? [] }
      : serviceTarget(target.serviceRef);
  if (found.kind === 'unknown') return 'unknown';
  if (found.kind === 'unusable') {
    return { redirect: undefined, errors: [...errors, { field: `${field}.target.serviceRef`, message: found.reason }] };
  }
  const patterns = match.patterns?.filter((_, at) => !inMatch.some((error) => error.field === patternField(field, at)));
  const names = { ...match, ...(patterns && { patterns }) };
  const isEmpty = Object.values(names).every((list) => (list ?? []).length === 0);
  if (isEmpty || whole.length > 0) return { redirect: undefined, errors };
  return { redirect: { ...redirect, match: names, target: { addresses: [...found.addresses] } }, errors };
}

function patternErrors(patterns: readonly string[] | undefined, field: string, budget: PatternBudget): FieldError[] {
  return (patterns ?? []).flatMap((text, at) => {
    const message = budget.error(text);
    return message === undefined ? [] : [{ field: `${field}.patterns[${at}]`, message }];
  });
}

function patternField(field: string, at: number): string {
  return `${field}.match.patterns[${at}]`;
}
