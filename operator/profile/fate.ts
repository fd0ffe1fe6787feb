/** What becomes of a revision, in the words of a condition. */
import { type Condition, reasons } from '../../api/v1alpha1/conditions.ts';
import type { Course } from './course.ts';
import type { ProfilePlan } from './plan.ts';

export type Verdict = Pick<Condition, 'status' | 'reason' | 'message'>;
type Told = Pick<ProfilePlan, 'course' | 'revisions' | 'errors' | 'selected'>;

/** As the schema bounds it, and what there is of the words of one agent. */
export const maxRolloutMessage = 1024;

export function isUnderWay(course: Course | undefined): boolean {
  return course?.state.phase === 'Canary' || course?.state.phase === 'Batch';
}

/** Nodes are given it, or try it. What was accepted last may mean nothing any more, as the cluster is now: then nobody is given it. */
export function isOnItsWay({ course, revisions, errors }: Told): boolean {
  return isUnderWay(course) && (errors.length === 0 || revisions.length > 0 || (course?.onTrial ?? 0) > 0);
}

/** What becomes of the nodes while the newest spec is not accepted. */
export function meanwhile(plan: Told): string {
  const { phase, target, good } = plan.course?.state ?? {};
  if (isOnItsWay(plan)) return `Meanwhile ${target}, which was accepted last, is rolled out.`;
  if (phase === 'RollingBack') return `Meanwhile nodes return from ${target}, which was accepted last, to ${good}.`;
  if (phase === 'Halted' || phase === 'Paused')
    return `Nodes keep what they have: the rollout of ${target}, which was accepted last, ${phase === 'Paused' ? 'is paused' : 'has halted'}.`;
  return `Nodes keep the last good configuration.${keptOf(plan.course)}`;
}

/** What is good and cannot be given now stays where it is, as it is: what changes in the cluster does not reach it. */
function keptOf(course: Course | undefined): string {
  const { good } = course?.state ?? {};
  if (course?.goodLost === undefined || ![...course.carried.values()].some((name) => name === good)) return '';
  return ` Nodes that carry ${good}, the last good one, keep it as it stands, for it ${course.goodLost}.`;
}

/** While a revision is on its way; undefined where there is nothing to say of it. */
export function stepOf(plan: Told, isPaused = false): Verdict | undefined {
  const { course, selected } = plan;
  if (course === undefined || (isUnderWay(course) && !isOnItsWay(plan))) return undefined;
  const { state, updated, onTrial } = course;
  const { phase, target } = state;
  const count = `${updated} of ${selected.length} nodes carry ${target}, ${onTrial} of them on trial.${keptOf(course)}`;
  // Those that come late wait for the end of it.
  switch (isPaused && phase === 'Done' ? 'Paused' : phase) {
    case 'Canary':
      return { status: 'True', reason: reasons.canarySoaking, message: count };
    case 'Batch':
      return { status: 'True', reason: reasons.rollingOut, message: count };
    case 'Paused':
      return { status: 'False', reason: reasons.rolloutPaused, message: `rollout.paused is set: ${count}` };
    case 'RollingBack':
      return { status: 'True', reason: reasons.rollingBack, message: fateOf(course) };
    case 'RolledBack':
      return { status: 'False', reason: reasons.rolledBack, message: fateOf(course) };
    case 'Halted':
      return { status: 'False', reason: reasons.rolloutHalted, message: fateOf(course) };
    default:
      return undefined;
  }
}

/** Why a revision failed, what becomes of the nodes, and what a person may do. The same words for as long as it is so. */
export function fateOf(course: Course | undefined): string {
  const { phase, target, good, reason, message } = course?.state ?? {};
  const loss = course?.goodLost === undefined ? '' : `, for ${good}, the last good one, ${course.goodLost}`;
  const isKept = phase === 'Halted' || phase === 'Paused' || loss !== '';
  const fate = isKept ? `Nodes keep what they have${loss}` : `Nodes return to ${good}`;
  return `${target} failed: ${reason}: ${cut(message ?? '', maxRolloutMessage)}. ${fate}. Edit the profile, or set rollout.paused to true and back to false to try it again.`;
}

export function cut(words: string, most: number): string {
  // By code points: the API server does not keep half of one.
  const points = words.length <= most ? [] : [...words];
  return points.length <= most ? words : `${points.slice(0, most - 1).join('')}…`;
}
