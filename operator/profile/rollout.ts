/**
 * From one revision of a profile to the next, step by step. Pure: everything that it knows stands in API objects (which revision a
 * node carries, what its agent reports, the phase in the profile's status), so that an operator may die anywhere and another goes on.
 *
 *   Canary ──all proven──▶ Batch ──every node──▶ Done (the target is the good revision now)
 *      └──────── one fails ──┴──▶ RollingBack ──▶ RolledBack      (Halted where nothing may or can be taken back)
 */
import { allowedUnavailable, type DefaultedRollout, type RolloutPhase } from '../../api/v1alpha1/rollout-settings.ts';
import { spread } from './spread.ts';
import { AWAY_MS, type Standing } from './trial.ts';

/** One of the nodes that the profile serves. */
export interface RolloutNode {
  readonly name: string;
  readonly zone: string;
  readonly pool: string;
  /** The revision that it carries; undefined where this profile has not served it so far. */
  readonly carries: string | undefined;
  readonly isReachable: boolean;
  /** Since when it is not ready; undefined where it is, or where it is its agent that cannot be reached. */
  readonly awaySinceMs?: number | undefined;
  /** Its agent said last that it serves. */
  readonly isServing: boolean;
  /** It carries its revision on trial, and of which attempt that is. */
  readonly isJudged: boolean;
  readonly attempt?: number | undefined;
  readonly standing: Standing;
  /** The target's configuration is the one that it has: nothing changes for it. */
  readonly isSame: boolean;
}

/** What of a rollout cannot be read off the nodes. */
export interface RolloutState {
  readonly phase: RolloutPhase;
  readonly target?: string | undefined;
  readonly good?: string | undefined;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  readonly startedAt?: string | undefined;
  /** Counts the rollouts: one of a new target, and one that is tried anew after it had failed. */
  readonly attempt?: number | undefined;
}

/** Beside what is seen of it: whether its verdict is of an attempt before this one. */
interface TriedNode extends RolloutNode {
  readonly isStale: boolean;
}

export interface RolloutInput {
  readonly target: string;
  readonly settings: DefaultedRollout;
  readonly nodes: readonly RolloutNode[];
  /** What is good cannot be served now: nobody returns to it. */
  readonly isGoodLost?: boolean;
  /** As decided last; undefined before the first time. */
  readonly before: RolloutState | undefined;
  readonly nowMs: number;
}

export interface Given {
  readonly node: string;
  readonly revision: string;
  readonly isTrial: boolean;
}

export interface RolloutStep {
  /** To be written down before anything of `give` is done, where it differs from the one before. */
  readonly state: RolloutState;
  readonly give: readonly Given[];
  /** Without any change, time alone may decide something then. */
  readonly lookAgainAtMs: number | undefined;
  readonly updated: number;
  readonly onTrial: number;
  /** Nodes that have the target, and on which it has not proved itself. */
  readonly unproven: readonly string[];
}

/** Why a target failed. */
interface Failure {
  readonly reason: string;
  readonly message: string;
}

const FAILED: readonly RolloutPhase[] = ['Halted', 'RollingBack', 'RolledBack'];

export function planRollout(input: RolloutInput): RolloutStep {
  const { target, settings, before } = input;
  const allowed = allowedUnavailable(settings.maxUnavailable, input.nodes.length);
  const good = before?.good;
  const last = before?.target === target && before.phase !== 'Idle' ? before : undefined;
  const attempt = attemptAfter(last, before, settings.paused);
  const nodes = input.nodes.map((node) => tried(node, target, attempt));
  const startedAt = last?.startedAt ?? new Date(input.nowMs).toISOString().replace(/\.\d{3}Z$/, 'Z');
  const step = (phase: RolloutPhase, give: readonly Given[], more: Partial<RolloutState> = {}): RolloutStep => ({
    state: { phase, target, attempt, startedAt, ...(good === undefined ? {} : { good }), ...more },
    give,
    lookAgainAtMs: earliest(nodes, input.nowMs),
    updated: count(nodes, ({ carries }) => carries === target),
    onTrial: count(nodes, (node) => isTrying(node, target) && node.standing.kind === 'pending'),
    unproven:
      target === good
        ? []
        : nodes.filter((node) => isTrying(node, target) && node.standing.kind !== 'settled').map(({ name }) => name),
  });

  if (settings.paused) return step('Paused', newcomers(nodes, good));
  const known = last !== undefined && FAILED.includes(last.phase) ? last : undefined;
  if (nodes.length === 0 && known === undefined && last?.phase !== 'Done')
    return { ...step('Idle', []), state: idleState(target, before) };
  const { nodes: canaries } = settings.canary;
  // So many that fall silent end it: the canary is not followed by another.
  const bearable = last?.phase === 'Batch' || canaries === 0 ? allowed : Math.min(canaries, allowed);
  const failure =
    known ?? (target === good ? undefined : failureOf(nodes, target, good === undefined, allowed, bearable));
  if (failure !== undefined) {
    const why = { reason: failure.reason, message: failure.message };
    const isBack = known?.phase === 'RolledBack';
    if (good === undefined || !settings.autoRollback || (input.isGoodLost && !isBack))
      return step('Halted', newcomers(nodes, good), why);
    const { give, isOver } = move(nodes, good, allowed);
    return step(isOver || isBack ? 'RolledBack' : 'RollingBack', give, why);
  }
  if (target === good) {
    // What it was before, by an edit: no trial is needed.
    const { give, isOver } = move(nodes, target, allowed);
    return step(isOver || last?.phase === 'Done' ? 'Done' : 'Batch', give);
  }
  const { phase, give } = advance({ ...input, nodes }, good, last?.phase, allowed);
  return phase === 'Done' ? step(phase, give, { good: target }) : step(phase, give);
}

/** A pause after a failure ends with another attempt. */
function attemptAfter(last: RolloutState | undefined, before: RolloutState | undefined, isPaused: boolean): number {
  if (last === undefined) return (before?.attempt ?? 0) + 1;
  const isAnew = isPaused && FAILED.includes(last.phase);
  return attemptOf(last) + Number(isAnew);
}

/** What was begun by an operator that did not count was the first. */
export function attemptOf({ attempt = 1 }: { readonly attempt?: number | undefined }): number {
  return attempt;
}

function idleState(target: string, before: RolloutState | undefined): RolloutState {
  const { good, attempt } = before ?? {};
  return { phase: 'Idle', target, ...(good !== undefined && { good }), ...(attempt !== undefined && { attempt }) };
}

/** How it fared with the target in an earlier attempt says nothing about this one, unless it did well. Off trial, only a refusal counted. */
function tried(node: RolloutNode, target: string, attempt: number): TriedNode {
  const { carries, isJudged, standing } = node;
  const isEarlier = carries === target && attemptOf(node) < attempt;
  const isRefused = standing.kind === 'bad' && standing.reason === 'ConfigRefused';
  const hasFailed = isJudged ? standing.kind === 'bad' || standing.kind === 'lost' : isRefused;
  return { ...node, isStale: isEarlier && hasFailed };
}

/** The nodes that have nothing yet are served by what is known to be good, whatever else goes on. */
function newcomers(nodes: readonly RolloutNode[], good: string | undefined): Given[] {
  if (good === undefined) return [];
  return nodes
    .filter(({ carries }) => carries === undefined)
    .map(({ name }) => ({ node: name, revision: good, isTrial: false }));
}

/** Everybody to a revision that is known to be good: those that serve nothing at once, the others some at a time. */
function move(nodes: readonly RolloutNode[], to: string, allowed: number): { give: Given[]; isOver: boolean } {
  const give = newcomers(nodes, to);
  const serving: RolloutNode[] = [];
  let disturbed = 0;
  for (const node of nodes) {
    if (!node.isReachable || node.carries === undefined) continue;
    if (node.carries === to) disturbed += Number(node.standing.kind === 'pending' && isDisturbed(node, to));
    else if (node.isServing && !isDisturbed(node, to)) serving.push(node);
    else {
      give.push({ node: node.name, revision: to, isTrial: false });
      disturbed += 1;
    }
  }
  const isOver = give.length === 0 && serving.length === 0 && disturbed === 0;
  const returned = nodes.filter(({ carries }) => carries === to);
  for (const { name } of spread(serving, allowed - disturbed, returned))
    give.push({ node: name, revision: to, isTrial: false });
  return { give, isOver };
}

function failureOf(
  nodes: readonly TriedNode[],
  target: string,
  isFirst: boolean,
  allowed: number,
  bearable: number,
): Failure | undefined {
  const silent: string[] = [];
  const unable: string[] = [];
  let fallen = 0;
  /** Nodes that may yet do well with the target. */
  let hopeful = 0;
  for (const node of nodes) {
    const { name, carries, isReachable, isJudged, isStale, standing } = node;
    if (!isReachable && !isTrying(node, target)) continue;
    if (isStale || carries !== target || standing.kind === 'settled' || standing.kind === 'pending') {
      hopeful += 1;
      continue;
    }
    if (standing.kind === 'lost') {
      silent.push(name);
      // An agent that does not come up is no fault of the first revision; a node that goes away with it may be.
      fallen += Number(isJudged && !(isFirst && isReachable));
      continue;
    }
    // A node that did not serve before may be unable to by itself (its port is taken): no fault of the profile, unless many are.
    const isOwn = standing.reason === 'NotServing' && (isFirst || !isJudged);
    if (!isOwn && (isJudged || standing.reason === 'ConfigRefused')) {
      return { reason: standing.reason, message: `${name}: ${standing.message}` };
    }
    unable.push(`${name}: ${standing.message}`);
  }
  if (isFirst && unable.length > allowed) {
    return { reason: 'NotServing', message: `${unable.length} nodes. ${unable[0]}` };
  }
  const isHopeless = !isFirst && hopeful === 0;
  if (fallen > 0 && (isHopeless || fallen >= bearable)) {
    return { reason: 'NodesSilent', message: `${silent.slice(0, 3).join(', ')}: nothing was heard since` };
  }
  return undefined;
}

/** Towards a target that is not known to be good. */
function advance(
  { target, settings, nodes, nowMs }: RolloutInput & { readonly nodes: readonly TriedNode[] },
  good: string | undefined,
  lastPhase: RolloutPhase | undefined,
  allowed: number,
): { phase: RolloutPhase; give: Given[] } {
  const isFirst = good === undefined;
  const here = lastPhase === 'Batch' ? 'Batch' : 'Canary';
  const give = newcomers(nodes, good);
  const movers: TriedNode[] = [];
  let pending = 0;
  let proven = 0;
  let settled = 0;
  /** Of all revisions: nodes that we disturbed, and that have not proved yet to be well. */
  let disturbed = 0;
  for (const node of nodes) {
    const { name, carries, isReachable, isJudged, standing } = node;
    if (carries === target) {
      settled += Number(standing.kind === 'settled');
      proven += Number(standing.kind === 'settled' && isJudged);
    }
    if (isReachable) {
      if (carries !== target && node.isSame && carries !== undefined)
        give.push({ node: name, revision: target, isTrial: false });
      else if (node.isStale || (carries !== target && (carries !== undefined || isFirst))) movers.push(node);
    } else if (!isTrying(node, target)) {
      // Of what an edit has superseded: it keeps its place for as long as it may come back.
      disturbed += Number(isJudged && standing.kind === 'pending' && carries !== good);
      continue;
    }
    // A node that has gone away keeps its place among those that may be on trial, and its batch goes on without it.
    if (carries === target) pending += Number(standing.kind === 'pending' && (isReachable || here === 'Canary'));
    disturbed += Number(isDisturbed(node, good) && !(isFirst && isReachable && standing.kind !== 'pending'));
  }
  if (movers.length === 0 && pending === 0) {
    // Where all are ill by themselves nobody proves anything, and nothing speaks against it.
    const hasEnd = settled > 0 || (!isFirst && nodes.some(({ isReachable }) => isReachable));
    const isOver = hasEnd && give.length === 0 && !isAwaited(nodes, target, nowMs);
    return { phase: isOver ? 'Done' : here, give };
  }

  const wanted = Math.min(settings.canary.nodes, allowed);
  const isCanary = here === 'Canary' && proven < wanted;
  // What a node makes of a revision by which it did not serve before says nothing: it is given, and not judged.
  const sound = movers.filter((node) => isFirst || node.isStale || isSound(node, good));
  const isTest = isCanary && (sound.length > 0 || pending > 0);
  const room = isTest ? wanted - proven - pending : pending > 0 ? 0 : allowed;
  const judged = new Set(sound);
  const had = nodes.filter(({ carries }) => carries === target);
  const chosen = choose(isTest ? sound : movers, good, room, allowed - disturbed, had);
  for (const node of chosen) give.push({ node: node.name, revision: target, isTrial: judged.has(node) });
  // What an edit has superseded, and was found bad before it, is not left to suffer until its turn comes.
  if (good !== undefined) {
    const taken = new Set(chosen);
    for (const node of movers) {
      if (node.carries === good || node.standing.kind !== 'bad' || !node.isJudged || node.isStale) continue;
      if (taken.has(node)) continue;
      give.push({ node: node.name, revision: good, isTrial: false });
    }
  }
  return { phase: isCanary ? 'Canary' : 'Batch', give };
}

/** It has the target to be judged by it: it is looked at whether or not it can be reached, or what takes nodes away would do so unseen. */
function isTrying({ carries, isJudged }: RolloutNode, target: string): boolean {
  return isJudged && carries === target;
}

/** It served, was given something else than what is good, and has not proved yet to be well; or it has not taken up a change of facts yet. */
function isDisturbed({ carries, isJudged, isServing, standing }: RolloutNode, good: string | undefined): boolean {
  if (standing.kind === 'pending') return isJudged || isServing;
  return isJudged && standing.kind !== 'settled' && carries !== good;
}

/** It serves, and its agent is heard of; or it is we who keep it from that, by what an edit has superseded. */
function isSound(node: RolloutNode, good: string | undefined): boolean {
  return (node.isServing && node.standing.kind !== 'lost') || (node.carries !== good && isDisturbed(node, good));
}

/** Selected nodes are away for a moment that have not proved the target. Those that are away for longer may be so for ever. */
function isAwaited(nodes: readonly RolloutNode[], target: string, nowMs: number): boolean {
  return nodes.some(({ carries, isJudged, standing, awaySinceMs }) => {
    if (awaySinceMs === undefined) return false;
    return carries === target ? isJudged && standing.kind === 'pending' : nowMs < awaySinceMs + AWAY_MS;
  });
}

/**
 * At most `room` nodes, of which at most `quiet` are disturbed anew. Those first that an earlier edit has left somewhere in between,
 * then those that have nothing to lose.
 */
function choose(
  movers: readonly TriedNode[],
  good: string | undefined,
  room: number,
  quiet: number,
  had: readonly RolloutNode[],
): TriedNode[] {
  if (room <= 0) return [];
  const ranks: TriedNode[][] = [[], [], [], []];
  for (const node of movers) {
    const isBetween = node.carries !== good;
    const rank = isBetween ? (isDisturbed(node, good) ? 0 : 1) : isSound(node, good) ? 3 : 2;
    ranks[rank]?.push(node);
  }
  const chosen = spread(ranks[0] ?? [], room, had);
  let left = Math.min(room - chosen.length, Math.max(0, quiet));
  for (const rank of ranks.slice(1)) {
    const more = spread(rank, left, [...had, ...chosen]);
    chosen.push(...more);
    left -= more.length;
  }
  return chosen;
}

function earliest(nodes: readonly RolloutNode[], nowMs: number): number | undefined {
  let at: number | undefined;
  for (const { standing, awaySinceMs } of nodes) {
    if (standing.kind === 'pending' && (at === undefined || standing.untilMs < at)) at = standing.untilMs;
    if (awaySinceMs === undefined) continue;
    const longMs = awaySinceMs + AWAY_MS;
    if (nowMs < longMs && (at === undefined || longMs < at)) at = longMs;
  }
  return at;
}

function count(nodes: readonly RolloutNode[], is: (node: RolloutNode) => boolean): number {
  let found = 0;
  for (const node of nodes) if (is(node)) found += 1;
  return found;
}
