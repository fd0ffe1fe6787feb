/**
 * Who is to serve the nodes of a profile that is being deleted. A rollout that is under way comes to an end by itself, and serves them without a
 * gap; whoever gives nothing (it was never accepted, is paused, has failed, cannot be written down) is waited for no longer than a node that is
 * away.
 */
import type { LocalDnsProfile } from '../../api/v1alpha1/profile.ts';
import type { RolloutPhase } from '../../api/v1alpha1/rollout-settings.ts';
import type { Course } from './course.ts';
import type { Intent, ProfilePlan } from './plan.ts';
import type { Choice } from './select.ts';
import { AWAY_MS } from './trial.ts';
import { WITHDRAW_MS } from './withdrawal.ts';

export interface Heir {
  readonly profile: string;
  readonly nodes: readonly string[];
  /** Giving: what they are given is on its way. Rolling: their turn comes. Unknown: what it means is still being found out. Idle: it gives nothing. */
  readonly is: 'giving' | 'rolling' | 'unknown' | 'idle';
  /** When one that gives nothing is waited for no longer. */
  readonly untilMs?: number | undefined;
}

interface Legacy {
  /** The one that is being deleted. */
  readonly profile: LocalDnsProfile;
  /** By name. */
  readonly profiles: ReadonlyMap<string, LocalDnsProfile>;
  readonly choices: ReadonlyMap<string, Choice>;
  readonly intents: ReadonlyMap<string, Intent>;
  /** Of all that are not being deleted. */
  readonly plans: ReadonlyMap<string, ProfilePlan>;
  /** Since when the API server does not take what is to be written down of a profile; undefined where it does. */
  readonly refusedSinceMs: (profile: LocalDnsProfile) => number | undefined;
  readonly nowMs: number;
}

/** Nodes of `held` that are with none of them are waited for by nobody: what they have is taken from them. Pure. */
export function heirsOf(held: readonly string[], legacy: Legacy): Heir[] {
  const { intents, choices } = legacy;
  const given = Map.groupBy(held, (node) => {
    const intent = intents.get(node);
    return intent?.kind === 'serve' ? intent.profile : undefined;
  });
  const kept = held.filter((node) => intents.get(node)?.kind === 'keep');
  const awaited = Map.groupBy(kept, (node) => {
    const choice = choices.get(node);
    return choice?.kind === 'profile' ? choice.profile : undefined;
  });
  const heirs = (all: typeof given, prospects: (name: string) => Pick<Heir, 'is' | 'untilMs'> | undefined): Heir[] =>
    [...all].flatMap(([profile, nodes]) => {
      const found = profile === undefined ? undefined : prospects(profile);
      return profile === undefined || found === undefined ? [] : [{ profile, nodes, ...found }];
    });
  return [...heirs(given, () => ({ is: 'giving' })), ...heirs(awaited, (name) => prospectsOf(name, legacy))];
}

/** Undefined where it is waited for no longer. */
function prospectsOf(
  name: string,
  { profile, profiles, plans, refusedSinceMs, nowMs }: Legacy,
): Pick<Heir, 'is' | 'untilMs'> | undefined {
  const plan = plans.get(name);
  const heir = profiles.get(name);
  if (plan === undefined || heir === undefined) return undefined;
  if (plan.isUnknown) return { is: 'unknown' };
  // Nothing follows from what cannot be written down, and its status does not say since when that is so.
  const refusedMs = plan.course?.isNews ? refusedSinceMs(heir) : undefined;
  if (refusedMs === undefined && goesOn(heir, plan.course, nowMs)) return { is: 'rolling' };
  const deletedAtMs = Date.parse(profile.metadata.deletionTimestamp ?? '');
  // By the times that stand there, whatever our clock says: the same at each look, and to each operator.
  const untilMs = Math.max(deletedAtMs, refusedMs ?? stoppedAtMs(plan.course)) + WITHDRAW_MS;
  return nowMs < untilMs ? { is: 'idle', untilMs } : undefined;
}

/** It gives nodes more by itself: by what they report, or by time alone. */
function goesOn({ spec }: LocalDnsProfile, course: Course | undefined, nowMs: number): boolean {
  if (course === undefined || course.isNews) return course !== undefined;
  const { gifts, lookAgainAtMs = Number.POSITIVE_INFINITY, state } = course;
  // That a day makes room is no reason to wait for it.
  const isAwaited = gifts.size > 0 || lookAgainAtMs <= nowMs + AWAY_MS;
  if (stepping.includes(state.phase)) return isAwaited;
  // A rollout that is over goes on giving to those that come, some at a time.
  const isOpen = (state.phase === 'Done' && state.reason === undefined) || state.phase === 'RolledBack';
  return isOpen && !spec.rollout?.paused && isAwaited;
}

/** When its rollout was paused, or failed: it was waited for until then. */
function stoppedAtMs(course: Course | undefined): number {
  return Date.parse(course?.state.stoppedAt ?? '') || 0;
}

const stepping: readonly RolloutPhase[] = ['Canary', 'Batch', 'RollingBack'];
