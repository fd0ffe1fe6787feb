/** What speaks against a target: on nodes that are there, and on such as were. */
import { timestamp } from '../../api/v1alpha1/conditions.ts';
import { maxSilent } from '../../api/v1alpha1/rollout-settings.ts';
import { isNewToIt, isTrying, type TriedNode } from './rollout-node.ts';
import { NOT_SERVING_MS, type TrialReason } from './trial.ts';

/** Why a target failed. */
export interface Failure {
  readonly reason: string;
  readonly message: string;
}

/** What must outlive nodes: a machine that a revision has taken down may be replaced, and all that stood about it goes with it. */
export interface Evidence {
  /** Nodes that are away, silent or not serving since they try the target. */
  readonly silent?: readonly string[] | undefined;
  /** How many such are not there any more, and since when the last of them is not. */
  readonly gone?: number | undefined;
  readonly goneAt?: string | undefined;
}

/** One machine that breaks as it comes late must not keep all that come after it from the target for ever. */
const FORGET_MS = 86_400_000;

/** When what went late is forgotten; not a number where nothing did. */
export function forgottenAtMs(evidence: Evidence | undefined): number {
  return Date.parse(evidence?.goneAt ?? '') + FORGET_MS;
}

/** Of this attempt; `before` is what stood there last. Pure. */
export function evidenceOf(
  before: Evidence | undefined,
  nodes: readonly TriedNode[],
  { target, isFirst, isOver, nowMs }: Pick<Bounds, 'target' | 'isFirst' | 'nowMs'> & { readonly isOver: boolean },
): Evidence {
  const known = new Set(before?.silent);
  const silent: string[] = [];
  for (const node of nodes) {
    if (!isTrying(node, target)) continue;
    const isMissed = !node.isStale && isMissing(node, isFirst, known.has(node.name)) && !node.isTakenOut;
    if (isMissed && silent.length < maxSilent) silent.push(node.name);
    known.delete(node.name);
  }
  const isForgotten = isOver && nowMs >= forgottenAtMs(before);
  const gone = (isForgotten ? 0 : (before?.gone ?? 0)) + known.size;
  const goneAt = known.size > 0 ? timestamp(nowMs) : (before?.goneAt ?? timestamp(nowMs));
  return { ...(silent.length > 0 && { silent }), ...(gone > 0 && { gone, goneAt }) };
}

/**
 * What is borne with while the node is there is when it is gone, too: one that is unable by itself, or whose agent does not come up. Who was
 * silent is so until it is well: to an operator that has just begun nobody is silent yet.
 */
function isMissing(node: TriedNode, isFirst: boolean, wasSilent: boolean): boolean {
  const { standing } = node;
  if (standing.kind === 'bad') return !isOwn(node, standing.reason, isFirst);
  const isOpen = standing.kind === 'pending' && (standing.isMissing === true || (wasSilent && !standing.isWell));
  const isSilent = standing.kind === 'lost' || isOpen;
  return isSilent && !isExcused(node);
}

/** An agent that does not come up where nothing was served is no fault of the revision; a node that goes away with it may be. */
function isExcused(node: TriedNode): boolean {
  return isNewToIt(node) && node.isReachable;
}

/** What is asked of the nodes. */
export interface Bounds {
  readonly target: string;
  /** There is nothing good: of the nodes those alone served before that are marked so. */
  readonly isFirst: boolean;
  readonly allowed: number;
  /** So many that fall silent end it, and more than so many that stop serving though they had proved it. */
  readonly bearable: number;
  readonly stoppable: number;
  readonly gone: number;
  readonly nowMs: number;
}

/** Undefined where nothing does. Pure. */
export function failureOf(nodes: readonly TriedNode[], bounds: Bounds): Failure | undefined {
  const { target, isFirst, allowed, bearable, stoppable, gone, nowMs } = bounds;
  const silent: string[] = [];
  const unable: string[] = [];
  const stopped: string[] = [];
  /** The first that serves with the target, and is not well. */
  let ill: Failure | undefined;
  /** Nodes that may yet do well with the target. */
  let hopeful = 0;
  for (const node of nodes) {
    const { name, carries, isReachable, isJudged, standing } = node;
    if (!isReachable && !isTrying(node, target)) continue;
    if (node.isStale || carries !== target || standing.kind === 'settled' || standing.kind === 'pending') {
      hopeful += 1;
    } else if (standing.kind === 'down') {
      hopeful += 1;
      if (nowMs >= standing.sinceMs + NOT_SERVING_MS) stopped.push(`${name}: ${standing.message}`);
    } else if (standing.kind === 'lost') {
      if (isJudged && !isExcused(node) && !node.isTakenOut) silent.push(name);
    } else {
      const found = { reason: standing.reason, message: `${name}: ${standing.message}` };
      if (standing.reason === 'ConfigRefused' || (isJudged && !isOwn(node, standing.reason, isFirst))) return found;
      if (isNewToIt(node)) {
        unable.push(found.message);
        if (standing.reason !== 'NotServing') ill ??= found;
      }
    }
  }
  // That one of those who joined fares ill may be its own affair; where nobody is left who may do well it is not.
  if (ill !== undefined && hopeful === 0) return ill;
  if (unable.length > allowed) return { reason: 'NotServing', message: `${unable.length} nodes. ${unable[0]}` };
  // What one of them has come to after it had proved itself is its own affair; what comes to so many is not.
  if (stopped.length > stoppable) {
    return { reason: 'NotServing', message: `${stopped.length} nodes that had served with it. ${stopped[0]}` };
  }
  const fallen = silent.length + gone;
  // Where nobody was served before, who comes next may do well.
  const isHopeless = hopeful === 0 && nodes.some(({ hadService }) => hadService);
  if (fallen === 0 || !(isHopeless || fallen >= bearable)) return undefined;
  const lost = gone === 0 ? [] : [`${gone} that ${gone === 1 ? 'is' : 'are'} not there any more`];
  return { reason: 'NodesSilent', message: `${[...silent.slice(0, 3), ...lost].join(', ')}: nothing was heard since` };
}

/** A node that did not serve before may be unable to by itself (its port is taken, its network is not up yet), unless many are. */
function isOwn({ hasJoined, hadService }: TriedNode, reason: TrialReason, isFirst: boolean): boolean {
  return (!isFirst && hasJoined === true) || (!hadService && reason === 'NotServing');
}
