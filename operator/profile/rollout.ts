/**
 * From one revision of a profile to the next, step by step. Pure: everything that it knows stands in API objects (which revision a
 * node carries, what its agent reports, the phase in the profile's status), so that an operator may die anywhere and another goes on.
 *
 *   Canary ──all proven──▶ Batch ──every node──▶ Done (the target is the good revision now)
 *      └──────── one fails ──┴──▶ RollingBack ──▶ RolledBack      (Halted where nothing may or can be taken back)
 */
import { timestamp } from '../../api/v1alpha1/conditions.ts';
import { allowedUnavailable, type DefaultedRollout, type RolloutPhase } from '../../api/v1alpha1/rollout-settings.ts';
import { evidenceOf, failureOf, forgottenAtMs } from './failure.ts';
import {
  afterwards,
  hasProved,
  hasProvedSame,
  isBorneWith,
  isHeard,
  isLostAway,
  isNewToIt,
  isSound,
  isTrying,
  isUnserved,
  type RolloutNode,
  servedMark,
  type TriedNode,
  tried,
} from './rollout-node.ts';
import { attemptAfter, FAILED, failedLate, idleState, type RolloutState, stopped, whyOf } from './rollout-state.ts';
import { spread } from './spread.ts';
import { AWAY_MS, NOT_SERVING_MS } from './trial.ts';
import { choose, isFoundBad } from './turns.ts';

export interface RolloutInput {
  readonly target: string;
  readonly settings: DefaultedRollout;
  readonly nodes: readonly RolloutNode[];
  /** What is good cannot be served now: nobody is given it, and nobody returns to it. */
  readonly isGoodLost?: boolean;
  /** So it is with the target, as what was accepted last may mean nothing any more. */
  readonly isTargetLost?: boolean;
  /** As decided last; undefined before the first time. */
  readonly before: RolloutState | undefined;
  readonly nowMs: number;
}

export interface Given {
  readonly node: string;
  readonly revision: string;
  readonly isTrial: boolean;
  /** It joins while the rollout is under way: it was served nothing before, and waits for nobody. */
  readonly hasJoined?: boolean;
  /** The rollout is over. */
  readonly isLate?: boolean;
  /** Of a trial, where that is written down: whether anybody served it before. */
  readonly wasServed?: boolean;
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

export function planRollout(input: RolloutInput): RolloutStep {
  const { target, settings, before, isTargetLost = false, nowMs } = input;
  const allowed = allowedUnavailable(settings.maxUnavailable, input.nodes.length);
  const good = before?.good;
  /** Whom nobody serves, and who returns, can be given that. */
  const way = input.isGoodLost ? undefined : good;
  const last = before?.target === target && before.phase !== 'Idle' ? before : undefined;
  /** An attempt goes on where there was nobody for a while who could be given the target. */
  const past = before?.target === target ? before : undefined;
  const attempt = attemptAfter(last, input);
  const silent = new Set(past?.silent);
  let forgotten = 0;
  const mayForget = () => {
    forgotten += 1;
    return forgotten <= allowed;
  };
  const trying = { target, good, attempt, silent, mayForget, nowMs };
  const nodes = input.nodes.map((node) => tried(node, trying));
  const startedAt = last?.startedAt ?? timestamp(nowMs);
  const isPending = (node: TriedNode): boolean => isTrying(node, target) && node.standing.kind === 'pending';
  const step = (phase: RolloutPhase, give: readonly Given[], more: Partial<RolloutState> = {}): RolloutStep => ({
    state: stopped({ phase, target, attempt, startedAt, ...(good === undefined ? {} : { good }), ...more }, input),
    give: marked(give, nodes, { good, way }),
    lookAgainAtMs: earliest(nodes, nowMs, forgottenAtMs(evidence)),
    updated: count(nodes, ({ carries }) => carries === target),
    onTrial: count(nodes, isPending),
    unproven: (target === good && !isAfterwards ? [] : seen)
      .filter((node) => isTrying(node, target) && !hasProved(node) && !(isAfterwards && isLostAway(node)))
      .map(({ name }) => name),
  });

  const known = last !== undefined && FAILED.includes(last.phase) ? last : undefined;
  const isAfterwards =
    target === good && (last?.phase === 'Done' || (last?.phase === 'Paused' && last.reason !== undefined));
  const isOpen = target !== good && known === undefined;
  const seen = isAfterwards ? afterwards(nodes) : nodes;
  const isFirst = good === undefined;
  const evidence =
    isOpen || isAfterwards ? evidenceOf(past, seen, { target, isFirst, isOver: isAfterwards, nowMs }) : {};
  const { gone = 0 } = evidence;
  const idle = (give: readonly Given[]) => ({
    ...step('Idle', give),
    state: { ...idleState(target, before), ...evidence },
  });
  const room = allowed - count(nodes, (node) => isComing(node, good, nowMs));
  if (settings.paused) {
    // What is over stays so: that those who come late are to try it must not be forgotten.
    const isDone = last?.phase === 'Done' && last.reason === undefined;
    const hasFailed = last !== undefined && last.reason !== undefined;
    // What has failed on those who came late is good for nobody else before it is tried anew.
    const joining = isAfterwards && hasFailed ? [] : newcomers(nodes, way, room);
    return step(isDone ? 'Done' : 'Paused', joining, hasFailed ? whyOf(last) : evidence);
  }
  if (nodes.length === 0 && known === undefined && last?.phase !== 'Done') return idle([]);
  const { nodes: canaries } = settings.canary;
  const common = { target, isFirst, allowed, gone, nowMs };
  if (isAfterwards) {
    // That it failed stands until all of them are known to do well: to an operator that has just begun nobody has failed yet.
    // So it is while nodes wait that nobody serves: they would all be given it the moment that it is forgotten.
    const isUndecided = (node: TriedNode): boolean =>
      isTrying(node, target)
        ? node.standing.kind === 'pending' || node.standing.kind === 'down'
        : node.isReachable && isUnserved(node);
    // Who has proved it in the rollout says nothing about it any more.
    const ends = { bearable: allowed, stoppable: Number.POSITIVE_INFINITY };
    const late = failureOf(seen, { ...common, ...ends }) ?? (seen.some(isUndecided) ? failedLate(last) : undefined);
    const hasFailed = late !== undefined;
    const give = isTargetLost ? [] : follow(seen, target, { allowed, gone, hasFailed });
    return step('Done', give, hasFailed ? { ...whyOf(late), ...evidence } : evidence);
  }
  // So many that fall silent end it: the canary is not followed by another.
  const bearable = last?.phase === 'Batch' || canaries === 0 ? allowed : Math.min(canaries, allowed);
  const failure = known ?? (isOpen ? failureOf(nodes, { ...common, bearable, stoppable: allowed }) : undefined);
  if (failure !== undefined) {
    const isBack = known?.phase === 'RolledBack';
    if (isFirst || !settings.autoRollback) return step('Halted', newcomers(nodes, way, room), whyOf(failure));
    const { give, isOver } = move(nodes, good, allowed, room);
    // Where all have returned there is nothing to halt.
    if (way === undefined) return step(isBack && give.length === 0 ? 'RolledBack' : 'Halted', [], whyOf(failure));
    return step(isOver || isBack ? 'RolledBack' : 'RollingBack', give, whyOf(failure));
  }
  // What nobody can be given is not on its way, unless somebody is still to tell what he makes of it: once all have told, a silence is no news.
  if (isTargetLost && (before?.phase === 'Idle' || !nodes.some(isPending))) return idle(newcomers(nodes, way, room));
  if (target === good) {
    // What it was before, by an edit: no trial is needed. Those that never had it come when that is over.
    const own = nodes.filter(({ isServedByOther }) => !isServedByOther);
    const { give, isOver } = move(own, target, allowed);
    return step(isOver ? 'Done' : 'Batch', give);
  }
  const bornAfterMs = Date.parse(startedAt);
  const { phase, give } = advance({ ...input, nodes }, { good, way, last: last?.phase, allowed, gone, bornAfterMs });
  return phase === 'Done' ? step(phase, give, { good: target }) : step(phase, give, evidence);
}

/** The nodes that nobody serves yet are served by what is known to be good, whatever else goes on. */
function newcomers(nodes: readonly RolloutNode[], good: string | undefined, room = Number.POSITIVE_INFINITY): Given[] {
  if (good === undefined || room <= 0) return [];
  const joining = nodes.filter(isUnserved).map(({ name }) => ({ node: name, revision: good, isTrial: false }));
  return joining.slice(0, room);
}

/**
 * It was given what is good, and it is not known yet that it serves by it. A profile that takes over nobody may be given many nodes at once
 * where another one that served them is deleted: nobody watches how they fare, so that they come some at a time.
 */
function isComing({ carries, standing, awaySinceMs }: RolloutNode, good: string | undefined, nowMs: number): boolean {
  if (carries !== good) return false;
  return awaySinceMs === undefined ? standing.kind === 'pending' : nowMs < awaySinceMs + AWAY_MS;
}

/** Each trial with what stands in it of the time before, by which its node is judged. */
function marked(
  give: readonly Given[],
  nodes: readonly TriedNode[],
  { good, way }: Pick<Way, 'good' | 'way'>,
): readonly Given[] {
  if (!give.some(({ isTrial }) => isTrial)) return give;
  const known = new Map(nodes.map((node) => [node.name, node]));
  return give.map((given) => {
    const node = given.isTrial ? known.get(given.node) : undefined;
    const { isLate = false } = given;
    const wasServed = node && servedMark(node, { isFirst: good === undefined, isGoodLost: way === undefined, isLate });
    return wasServed === undefined ? given : { ...given, wasServed };
  });
}

/**
 * Everybody to a revision that is known to be good: those that serve nothing at once, the others some at a time. Whom another profile serves
 * comes last, and on trial, where there is room beside those that are ill: it never had that, which must not put out one after the other.
 */
function move(nodes: readonly TriedNode[], to: string, allowed: number, room?: number) {
  const give = newcomers(nodes, to, room);
  const [serving, strangers]: [TriedNode[], TriedNode[]] = [[], []];
  let disturbed = 0;
  let unwell = 0;
  for (const node of nodes) {
    if (!node.isReachable || isUnserved(node)) continue;
    if (node.carries === to) {
      disturbed += Number(node.isDisturbed);
      unwell += Number(!node.isDisturbed && !hasProved(node));
    } else if (node.isServedByOther) strangers.push(node);
    // Of those that joined there may be any number: those that serve, though ill, return when there is room as well.
    else if (node.isServing && (!node.isDisturbed || node.hasJoined)) serving.push(node);
    else {
      give.push({ node: node.name, revision: to, isTrial: false });
      disturbed += 1;
    }
  }
  const isOver = give.length === 0 && serving.length === 0 && disturbed === 0;
  const returned = nodes.filter(({ carries }) => carries === to);
  const back = spread(serving, allowed - disturbed, returned);
  for (const { name } of back) give.push({ node: name, revision: to, isTrial: false });
  for (const node of choose(strangers, to, allowed, allowed - disturbed - back.length - unwell, returned))
    give.push({ node: node.name, revision: to, isTrial: isHeard(node) });
  return { give, isOver };
}

interface Way {
  readonly good: string | undefined;
  /** The same, where it can be given. */
  readonly way: string | undefined;
  readonly last: RolloutPhase | undefined;
  readonly allowed: number;
  readonly gone: number;
  /** Of the first revision nobody was served before: by that is told who has joined since. */
  readonly bornAfterMs: number;
}

/** Towards a target that is not known to be good. */
function advance(
  { target, settings, nodes, nowMs }: RolloutInput & { readonly nodes: readonly TriedNode[] },
  { good, way, last, allowed, gone, bornAfterMs }: Way,
): { phase: RolloutPhase; give: Given[] } {
  /** Whom nobody serves can be given nothing but the target: he tries it in his turn. */
  const isFirst = way === undefined;
  const here = last === 'Batch' ? 'Batch' : 'Canary';
  const isNew = (node: RolloutNode): boolean => isUnserved(node) && (!isFirst || (node.createdAtMs ?? 0) > bornAfterMs);
  const give = here === 'Batch' ? [] : newcomers(nodes, way);
  const movers: TriedNode[] = [];
  let pending = 0;
  let proven = 0;
  let settled = 0;
  /** Nodes of which is not known yet whether they are well: their turn comes later. */
  let open = 0;
  /** Of all revisions: nodes that we disturbed, and that have not proved yet to be well. What is gone keeps its place. */
  let disturbed = gone;
  for (const node of nodes) {
    const { name, carries, isReachable, isJudged, standing } = node;
    if (here === 'Batch' && isNew(node)) {
      // Once the canary has proved it nothing is at stake where nothing was served, and who is born holds up nobody.
      if (isReachable) give.push({ node: name, revision: target, isTrial: true, hasJoined: true });
      continue;
    }
    if (carries === target) {
      settled += Number(hasProved(node));
      proven += Number(hasProved(node) && isJudged);
      if (node.hasJoined && !node.isStale) continue;
    }
    if (isReachable) {
      if (carries !== target && hasProvedSame(node)) give.push({ node: name, revision: target, isTrial: false });
      else if (carries !== target && carries === good && standing.kind === 'pending') open += 1;
      else if (node.isStale || (carries !== target && (!isUnserved(node) || isFirst))) movers.push(node);
    } else if (!isTrying(node, target)) {
      // Of what an edit has superseded: it keeps its place for as long as it may come back.
      disturbed += Number(isJudged && standing.kind === 'pending' && carries !== good);
      continue;
    }
    // A node that has gone away keeps its place among those that may be on trial, and its batch goes on without it.
    if (carries === target) pending += Number(standing.kind === 'pending' && (isReachable || here === 'Canary'));
    disturbed += Number(node.isDisturbed && !(!node.hadService && isReachable && standing.kind !== 'pending'));
  }
  if (movers.length === 0 && pending === 0 && open === 0) {
    // Where all are ill by themselves nobody proves anything, and nothing speaks against it.
    const isWell = (node: TriedNode): boolean => node.isReachable && (node.carries !== target || !isNewToIt(node));
    const hasEnd = settled > 0 || (good !== undefined && nodes.some(isWell));
    const isOver = hasEnd && give.every(({ hasJoined }) => hasJoined);
    // Where nobody has proved it, as where all nodes are new, those who join are waited for: what nobody has is good for nobody.
    const mayProve = (node: TriedNode): boolean =>
      node.isReachable && (isNew(node) || (isTrying(node, target) && node.standing.kind === 'pending'));
    const isAwaited =
      nodes.some((node) => !isNew(node) && mayReturn(node, target, nowMs)) || (settled === 0 && nodes.some(mayProve));
    return { phase: isOver && !isAwaited ? 'Done' : here, give };
  }

  const wanted = Math.min(settings.canary.nodes, allowed);
  const isCanary = here === 'Canary' && proven < wanted;
  // What a node makes of a revision by which it did not serve before says nothing: it is given, and not judged.
  const sound = movers.filter(
    (node) => good === undefined || (isFirst && isUnserved(node)) || node.isStale || isSound(node, good),
  );
  const isTest = isCanary && (sound.length > 0 || pending > 0);
  const room = isTest ? wanted - proven - pending : pending > 0 ? 0 : allowed;
  const judged = new Set(sound);
  const had = nodes.filter(({ carries }) => carries === target);
  const quiet = allowed - disturbed;
  const suffering = way === undefined ? [] : movers.filter((node) => isFoundBad(node, good) && !node.isDisturbed);
  // Before there is room for all of these beside it no canary begins: it would keep them from it for as long as it soaks.
  const isFull = isTest && suffering.length > Math.max(0, quiet);
  // Where others can try it whom another profile serves waits.
  const own = sound.filter(({ isServedByOther }) => !isServedByOther);
  const testers = own.length > 0 ? own : sound;
  const chosen = isFull ? [] : choose(isTest ? testers : movers, good, room, quiet, had);
  for (const node of chosen) give.push({ node: node.name, revision: target, isTrial: judged.has(node) });
  // What an edit has superseded, and was found bad before it, is not left to suffer until its turn comes.
  if (way !== undefined) {
    const taken = new Set(chosen);
    const left = movers.filter((node) => node.carries !== good && !taken.has(node));
    const out = left.filter((node) => node.isDisturbed && (isFull || isFoundBad(node, good)));
    const others = suffering.filter((node) => !taken.has(node));
    const back = nodes.filter(({ carries }) => carries === good);
    const more = spread(others, quiet - count(chosen, ({ isDisturbed }) => !isDisturbed), back);
    for (const { name } of [...out, ...more]) give.push({ node: name, revision: way, isTrial: false });
  }
  return { phase: isCanary ? 'Canary' : 'Batch', give };
}

/**
 * Those that come when the rollout is over: they are judged by what they make of it, and hold up each other alone. Once it has failed on one
 * of them the others keep what they have. Who has nothing tries it as well while it is not known to do well: there is room for one of them
 * beside any number that have failed, unless one of their own has, or one is gone by it.
 */
function follow(
  nodes: readonly TriedNode[],
  target: string,
  { allowed, gone, hasFailed }: { readonly allowed: number; readonly gone: number; readonly hasFailed: boolean },
): Given[] {
  const isOpen = (node: TriedNode): boolean =>
    isTrying(node, target) && !node.hasJoined && !hasProved(node) && !isBorneWith(node);
  // What is tried anew has failed before.
  const isTried = hasFailed || nodes.some(({ isStale }) => isStale);
  const give = isTried ? [] : newcomers(nodes, target);
  const bare = isTried ? nodes.filter((node) => isUnserved(node) && node.isReachable) : [];
  const late: TriedNode[] = [];
  // What is gone keeps its place.
  let trying = gone;
  let disturbed = trying;
  /** Of those that nobody served before. */
  let joining = gone;
  for (const node of nodes) {
    trying += Number(isOpen(node) && !node.isStale);
    joining += Number(isOpen(node) && node.wasServed === false);
    disturbed += Number(node.isDisturbed && (node.isReachable || isTrying(node, target)));
    if (hasFailed || !node.isReachable || isUnserved(node) || (node.carries === target && !node.isStale)) continue;
    if (node.isSame) give.push({ node: node.name, revision: target, isTrial: false });
    else late.push(node);
  }
  const had = nodes.filter(({ carries }) => carries === target);
  const chosen = choose(late, target, allowed - trying, allowed - disturbed, had);
  for (const node of chosen)
    give.push({ node: node.name, revision: target, isTrial: node.isStale || isHeard(node), isLate: true });
  const room = Math.max(allowed - trying - chosen.length, 1 - joining);
  for (const { name } of spread(bare, room, had))
    give.push({ node: name, revision: target, isTrial: true, isLate: true });
  return give;
}

/** It is away for a moment, and has not proved the target. One that is away for longer may be so for ever. */
function mayReturn(node: RolloutNode, target: string, nowMs: number): boolean {
  const { carries, hasJoined, isJudged, standing, awaySinceMs } = node;
  if (awaySinceMs === undefined) return false;
  if (carries !== target) return nowMs < awaySinceMs + AWAY_MS;
  return isJudged && !hasJoined && standing.kind === 'pending';
}

function earliest(nodes: readonly RolloutNode[], nowMs: number, alsoAtMs: number): number | undefined {
  let at: number | undefined;
  const note = (ms: number): void => {
    if (nowMs < ms && ms < Number.POSITIVE_INFINITY && (at === undefined || ms < at)) at = ms;
  };
  note(alsoAtMs);
  for (const { standing, awaySinceMs } of nodes) {
    if (standing.kind === 'pending') note(standing.untilMs);
    if (standing.kind === 'down') for (const afterMs of [NOT_SERVING_MS, AWAY_MS]) note(standing.sinceMs + afterMs);
    if (awaySinceMs !== undefined) note(awaySinceMs + AWAY_MS);
  }
  return at;
}

function count<N>(nodes: readonly N[], is: (node: N) => boolean): number {
  let found = 0;
  for (const node of nodes) if (is(node)) found += 1;
  return found;
}
