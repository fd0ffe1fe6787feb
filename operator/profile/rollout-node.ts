/** A node in the eyes of a rollout. */
import { AWAY_MS, NOT_SERVING_MS, type Standing } from './trial.ts';

/** One of the nodes that the profile serves. */
export interface RolloutNode {
  readonly name: string;
  readonly zone: string;
  readonly pool: string;
  /** The revision that it carries; undefined where this profile has not served it so far. */
  readonly carries: string | undefined;
  /** Another profile serves it: it has something to lose, and keeps what it has until its turn comes. */
  readonly isServedByOther?: boolean | undefined;
  readonly isReachable: boolean;
  /** Since when it is not ready; undefined where it is, or where it is its agent that cannot be reached. */
  readonly awaySinceMs?: number | undefined;
  /** Since when it is in the cluster; undefined where that is not said. */
  readonly createdAtMs?: number | undefined;
  /** Somebody takes it out of the cluster. */
  readonly isLeaving?: boolean | undefined;
  /** Its agent said last that it serves. */
  readonly isServing: boolean;
  /** It carries its revision on trial, and of which attempt that is. */
  readonly isJudged: boolean;
  readonly attempt?: number | undefined;
  /** It was served nothing before, and was given what it carries as it joined. */
  readonly hasJoined?: boolean | undefined;
  /** It was served before it was given what it carries, by another profile or another revision; undefined where that is not said. */
  readonly wasServed?: boolean | undefined;
  /** It was given what it carries when the rollout of that was over. */
  readonly isLate?: boolean | undefined;
  readonly standing: Standing;
  /** The target's configuration is the one that it has: nothing changes for it. */
  readonly isSame: boolean;
}

/** Beside what is seen of it. */
export interface TriedNode extends RolloutNode {
  /** Somebody served it before it was given what it carries. */
  readonly hadService: boolean;
  /** Its verdict is of an attempt before this one. */
  readonly isStale: boolean;
  /** We have put it out, or may have: one of those that may be unavailable. */
  readonly isDisturbed: boolean;
  /** Somebody took it out of the cluster before it fell silent: that it is is no word about what it carries. */
  readonly isTakenOut: boolean;
}

/** Of the rollout that it is looked at for. */
export interface Trying {
  readonly target: string;
  readonly good: string | undefined;
  readonly attempt: number;
  /** Who was when that was last looked at. */
  readonly silent: ReadonlySet<string>;
  /** Asked of each that is taken out and will not be waited for: a revision that takes nodes down must not get the next by each. */
  readonly mayForget: () => boolean;
  readonly nowMs: number;
}

export function tried(node: RolloutNode, { target, good, attempt, silent, mayForget, nowMs }: Trying): TriedNode {
  const { carries, isJudged, standing } = node;
  // How it fared with the target in an earlier attempt says nothing about this one, unless it did well. Off trial, only a refusal counted.
  const isEarlier = carries === target && attemptOf(node) < attempt;
  const isRefused = standing.kind === 'bad' && standing.reason === 'ConfigRefused';
  const hasFailed = isJudged ? standing.kind === 'bad' || standing.kind === 'lost' : isRefused;
  // One that is ready, and whose agent is silent, is not on its way: somebody only wants no more pods there.
  const isTakenOut = node.isLeaving === true && node.awaySinceMs !== undefined && !silent.has(node.name);
  const isStale = isEarlier && hasFailed;
  // Nobody waits for the return of what an earlier attempt has lost, nor of what somebody takes out.
  const isPast = isStale && nowMs >= (node.awaySinceMs ?? nowMs) + AWAY_MS;
  const isGone = isPast || (isTakenOut && standing.kind === 'lost' && mayForget());
  // Where something is good, who carries anything was served before, unless it is said that he was not.
  const hadService = good === undefined ? node.wasServed === true : (node.wasServed ?? carries !== undefined);
  return { ...node, hadService, isStale, isTakenOut, isDisturbed: !isGone && isDisturbed(node, good, nowMs) };
}

/** In the eyes of those who come when the rollout is over: what was tried before that has proved itself, or was borne with. */
export function afterwards(nodes: readonly TriedNode[]): TriedNode[] {
  return nodes.map((node) =>
    node.isJudged && !node.isLate ? { ...node, standing: { kind: 'settled' }, isStale: false } : node,
  );
}

/** What was begun by an operator that did not count was the first. */
export function attemptOf({ attempt = 1 }: { readonly attempt?: number | undefined }): number {
  return attempt;
}

/** It served, was given something else than what is good, and has not proved yet to be well; or it has not taken up yet what it was given. */
function isDisturbed(node: RolloutNode, good: string | undefined, nowMs: number): boolean {
  const { carries, hasJoined, isJudged, isServing, standing } = node;
  // Of those that join there may be any number: those that serve, though ill, are moved on when there is room, as others are.
  if (standing.kind === 'pending') return !hasJoined && !standing.isProven && (isJudged || isServing);
  // What is good puts nobody out for longer than a moment. What has served by something else, and is down for long, is ill by itself.
  if (standing.kind === 'down') return nowMs < standing.sinceMs + (carries === good ? NOT_SERVING_MS : AWAY_MS);
  return isJudged && standing.kind !== 'settled' && carries !== good && !(hasJoined && isServing);
}

/** It serves, and its agent is heard of; or it is we who keep it from that, by what an edit has superseded. */
export function isSound(node: TriedNode, good: string | undefined): boolean {
  return isHeard(node) || (node.carries !== good && node.isDisturbed);
}

export function isHeard({ isServing, standing }: Pick<RolloutNode, 'isServing' | 'standing'>): boolean {
  return isServing && standing.kind !== 'lost' && standing.kind !== 'down';
}

/** An edit that changes nothing of what it has is nothing to try; what it has not proved, or has failed with, goes on to be judged. */
export function hasProvedSame(node: RolloutNode): boolean {
  return node.isSame && node.carries !== undefined && (!node.isJudged || hasProved(node));
}

/** Nobody served it before it tried the target. */
export function isNewToIt({ hasJoined, hadService }: TriedNode): boolean {
  return hasJoined === true || !hadService;
}

/** What it does not do it may be unable to by itself: nobody served it before, and it is there. */
export function isBorneWith(node: TriedNode): boolean {
  const { standing } = node;
  const isUnable = standing.kind === 'lost' || (standing.kind === 'bad' && standing.reason === 'NotServing');
  return isUnable && isNewToIt(node) && node.isReachable;
}

/** It is away, and is not waited for any more. */
export function isLostAway({ isReachable, standing }: RolloutNode): boolean {
  return !isReachable && standing.kind === 'lost';
}

/** It has the target to be judged by it: it is looked at whether or not it can be reached, or what takes nodes away would do so unseen. */
export function isTrying({ carries, isJudged }: RolloutNode, target: string): boolean {
  return isJudged && carries === target;
}

/** Nothing is at stake: nobody serves it. */
export function isUnserved({ carries, isServedByOther }: RolloutNode): boolean {
  return carries === undefined && !isServedByOther;
}

/** What its trial shall say of it, before it is given: undefined where that goes without saying. */
export function servedMark(
  node: RolloutNode,
  {
    isFirst,
    isGoodLost,
    isLate,
  }: { readonly isFirst: boolean; readonly isGoodLost: boolean; readonly isLate: boolean },
): boolean | undefined {
  if (isFirst) return node.wasServed === true || isHeard(node) || undefined;
  if (isHeard(node)) return node.isServedByOther === true || undefined;
  return node.wasServed === false || ((isGoodLost || isLate) && isUnserved(node)) ? false : undefined;
}

/** What it has found out stays found out, though it may be down by now. */
export function hasProved({ standing }: RolloutNode): boolean {
  return standing.kind === 'settled' || standing.kind === 'down';
}
