/** What a rollout has come to, as it is written down. */
import { timestamp } from '../../api/v1alpha1/conditions.ts';
import type { DefaultedRollout, RolloutPhase } from '../../api/v1alpha1/rollout-settings.ts';
import type { Evidence } from './failure.ts';
import { attemptOf } from './rollout-node.ts';

/** What of a rollout cannot be read off the nodes. */
export interface RolloutState extends Evidence {
  readonly phase: RolloutPhase;
  readonly target?: string | undefined;
  readonly good?: string | undefined;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  readonly startedAt?: string | undefined;
  /** Counts the rollouts: one of a new target, and one that is tried anew after it had failed. */
  readonly attempt?: number | undefined;
  /** Since when it gives nodes nothing by itself: it is paused, or has failed. */
  readonly stoppedAt?: string | undefined;
}

/** What it is decided from. */
interface Look {
  readonly target: string;
  readonly settings: Pick<DefaultedRollout, 'paused'>;
  readonly before: RolloutState | undefined;
  readonly nowMs: number;
}

export const FAILED: readonly RolloutPhase[] = ['Halted', 'RollingBack', 'RolledBack'];

/** A pause after a failure ends with another attempt. Where nodes were lost in one that is idle it is the same when nodes come. */
export function attemptAfter(last: RolloutState | undefined, { target, settings, before }: Look): number {
  if (last === undefined) {
    const hasLost = before?.target === target && (before.silent !== undefined || before.gone !== undefined);
    return hasLost ? attemptOf(before) : (before?.attempt ?? 0) + 1;
  }
  const isAnew = settings.paused && (FAILED.includes(last.phase) || failedLate(last) !== undefined);
  return attemptOf(last) + Number(isAnew);
}

/** With the time from which on it gives nothing: that of another kind of stop is another. */
export function stopped(state: RolloutState, { settings, before, nowMs }: Look): RolloutState {
  const { phase, target, reason } = state;
  const isStopped = settings.paused || FAILED.includes(phase) || reason !== undefined;
  if (!isStopped) return state;
  const isSame =
    before?.phase === phase && before.target === target && (before.reason === undefined) === (reason === undefined);
  return { ...state, stoppedAt: (isSame ? before?.stoppedAt : undefined) ?? timestamp(nowMs) };
}

/** Those that came late have failed with it; undefined where they have not. */
export function failedLate(last: RolloutState): RolloutState | undefined {
  return last.phase === 'Done' && last.reason !== undefined ? last : undefined;
}

export function whyOf({
  reason,
  message,
}: Pick<RolloutState, 'reason' | 'message'>): Pick<RolloutState, 'reason' | 'message'> {
  return reason === undefined ? {} : { reason, message };
}

export function idleState(target: string, before: RolloutState | undefined): RolloutState {
  const { good, attempt } = before ?? {};
  return { phase: 'Idle', target, ...(good !== undefined && { good }), ...(attempt !== undefined && { attempt }) };
}
