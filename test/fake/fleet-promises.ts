/** What a rollout promises of a fleet. */
import type { DefaultedRollout } from '../../api/v1alpha1/rollout-settings.ts';
import type { Given } from '../../operator/profile/rollout.ts';
import type { RolloutState } from '../../operator/profile/rollout-state.ts';
import type { Standing } from '../../operator/profile/trial.ts';
import { carries, isOnTrial, isOut, isPast, isServing, type Member, type Outcome } from './fleet-member.ts';

/** As it is when that is decided. */
export interface Looked {
  readonly target: string;
  readonly state: RolloutState | undefined;
  readonly settings: DefaultedRollout;
  readonly members: readonly Member[];
  readonly allowed: number;
  /** The target, once it has failed. */
  readonly failed: string | undefined;
  readonly isGoodLost: boolean;
  readonly hurt: number;
  readonly killed: readonly number[];
  /** So many may have followed before the first is found out. */
  readonly batches: number;
  readonly nowMs: number;
  readonly standing: (member: Member) => Standing;
  readonly outcome: (member: Member) => Outcome;
  /** It carries what is good, by whatever name. */
  readonly isGood: (member: Member) => boolean;
  /** It has that, by whatever name. */
  readonly isSame: (member: Member, gift: Given) => boolean;
}

/** What is about to be given, held against the promises: those that it breaks. */
export function broken(give: readonly Given[], fleet: Looked): string[] {
  const { target, state, settings, members, failed, nowMs } = fleet;
  const offences: string[] = [];
  const good = state?.good;
  const bounds = members.map((member) => (fleet.isGood(member) ? 0 : member.givenUnder));
  // Of machines that are removed nobody who was given something before is taken back.
  const allowed = Math.max(fleet.allowed, ...bounds);
  const lost = fleet.hurt + fleet.killed.length;
  // Where a fleet shrinks as machines are lost.
  const lostUnder = Math.max(allowed, ...fleet.killed) * fleet.batches;
  const given = new Map(give.map((gift) => [gift.node, gift]));
  const isPending = (member: Member): boolean => isOnTrial(member, fleet.standing(member));
  const isUnproven = (member: Member): boolean => {
    const standing = fleet.standing(member);
    // Who returns to what is good does not try it.
    const isReturn = fleet.isGood(member) && member.written?.trial === undefined;
    const isTried = carries(member) === target && target !== failed && !isReturn && !isPast(member, state, nowMs);
    const outcome = fleet.outcome(member);
    return isOut(member, { standing, outcome, isTried, isGood: fleet.isGood(member), nowMs });
  };
  const hasFailed = (member: Member): boolean =>
    member.written?.trial !== undefined && !fleet.isGood(member) && fleet.standing(member).kind === 'bad';
  // Who is on trial, or has failed in one, has its place already, though it was ill when that began.
  const before = members.filter(
    (member) => isUnproven(member) || (given.has(member.name) && (isPending(member) || hasFailed(member))),
  ).length;
  // Who was served nothing, and has failed with the first that it was given, has nothing to lose.
  const hasNothing = (member: Member): boolean =>
    hasFailed(member) && (member.written?.trial?.served ?? good !== undefined) === false;
  // What changes nothing of what it has puts nobody out: who is out by that stays so.
  const isOutNow = (member: Member): boolean =>
    isUnproven(member) || (member.written?.trial !== undefined && (isPending(member) || hasFailed(member)));
  const mayGoOut = (member: Member): boolean =>
    member.awaySinceMs === undefined && member.ails === undefined && isServing(member) && !hasNothing(member);
  const after = members.filter((member) => {
    const gift = given.get(member.name);
    if (gift === undefined) return isUnproven(member);
    return fleet.isSame(member, gift) && !gift.isTrial ? isOutNow(member) : mayGoOut(member);
  }).length;
  if (after > Math.max(allowed, before)) offences.push(`${after} unavailable, ${allowed} allowed`);
  if (lost > lostUnder) offences.push(`${fleet.hurt} hurt, ${fleet.killed.length} killed, ${allowed} allowed`);

  const trials = give.filter(({ isTrial, hasJoined }) => isTrial && !hasJoined);
  if (trials.length > allowed) offences.push(`${trials.length} on trial at once, ${allowed} allowed`);
  const isUnderWay = members.some(
    (member) => carries(member) === target && member.awaySinceMs === undefined && isPending(member),
  );
  if (state?.phase === 'Batch' && trials.length > 0 && isUnderWay) offences.push('two batches at once');
  if (target !== good && target === failed && give.some(({ revision }) => revision === target)) {
    offences.push('what failed is given again');
  }
  const known = (name: string) => members.find((member) => member.name === name);
  if (settings.paused && give.some(({ node }) => known(node)?.written !== undefined || known(node)?.isServedByOther)) {
    offences.push('given while paused');
  }
  if (fleet.isGoodLost && give.some(({ revision }) => revision === good)) offences.push('what is lost is given');
  const stranger = give.find(({ revision }) => revision !== target && revision !== good);
  if (stranger !== undefined) offences.push(`${stranger.revision} is neither the target nor good`);
  const away = give.find(({ node, revision }) => {
    const member = known(node);
    return (
      member?.awaySinceMs !== undefined && (member.written !== undefined || member.isServedByOther || revision !== good)
    );
  });
  if (away !== undefined) offences.push(`${away.node} is away`);
  return offences;
}
