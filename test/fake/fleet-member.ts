/** A node of a fleet: what it is, and what becomes of it. */
import type { NodeHealth } from '../../api/v1alpha1/node.ts';
import type { TrialTerms, WrittenFacts } from '../../operator/profile/facts.ts';
import type { Given } from '../../operator/profile/rollout.ts';
import type { RolloutNode } from '../../operator/profile/rollout-node.ts';
import type { RolloutState } from '../../operator/profile/rollout-state.ts';
import type { Sighting } from '../../operator/profile/sightings.ts';
import { AWAY_MS, type Standing, standingOf } from '../../operator/profile/trial.ts';
import type { Random } from '../fuzz/random.ts';

/** `downs`: the node is away from then on; `later`: its kubelet is, and that is found out long after. */
const faulty = ['bad', 'unable', 'silent', 'downs', 'later'] as const;
export type Fault = (typeof faulty)[number];
export type Outcome = 'good' | Fault;

export const TICK_MS = 5_000;
/** Longer than anybody judges a node by what it carries. */
const SETTLED_MS = 300_000;
/** How long the control plane takes to find out that a kubelet is gone. */
export const LATER_MS = 40_000;

export interface Member {
  readonly name: string;
  readonly uid: string;
  readonly zone: string;
  readonly pool: string;
  written: WrittenFacts | undefined;
  /** Another profile serves it, well. */
  isServedByOther: boolean;
  /** It served when it was given what it carries. */
  wasServing: boolean;
  /** So many nodes might be unavailable then. */
  givenUnder: number;
  /** What its agent takes up just now, and in how many ticks it will have; undefined where it is up to date. */
  takes: string | undefined;
  waits: number;
  /** So many ticks it takes for that. */
  pace: number;
  /** When the agent first had it in force, in this attempt. */
  begunMs: number | undefined;
  awaySinceMs: number | undefined;
  hereSinceMs: number;
  backAtMs: number;
  /** By itself, whatever it is given: its port is taken, or nobody runs its agent. */
  ails: 'unable' | 'silent' | undefined;
  /** Until then it does not serve, without a fault of anybody's. */
  stoppedUntilMs: number;
  readonly bornMs: number;
  /** It is cordoned. */
  isLeaving: boolean;
  /** A revision took it away. */
  isDown: boolean;
}

const figures = { queries: 0, servFailPermille: 0, p99Micros: 0 };
export const silence: WrittenFacts['report'] = {
  ...{ appliedRevision: '', isServing: false, isRefused: false },
  ...{ measures: true, health: undefined, failure: undefined },
};

const nothing = {
  written: undefined,
  wasServing: false,
  givenUnder: 0,
  takes: undefined,
  waits: 0,
  begunMs: undefined,
};

/** A machine as it comes: nothing was ever written for it. */
export function newMember(index: number, bornMs: number, random: Random): Member {
  const [zone, pool] = [`z${random.below(3)}`, `p${random.below(2)}`];
  const name = `n${String(index).padStart(3, '0')}`;
  const here = { awaySinceMs: undefined, hereSinceMs: bornMs, backAtMs: Number.POSITIVE_INFINITY, ails: undefined };
  return {
    name,
    uid: `u${index}`,
    zone,
    pool,
    pace: 1,
    ...nothing,
    bornMs,
    isServedByOther: false,
    ...here,
    stoppedUntilMs: 0,
    isDown: false,
    isLeaving: false,
  };
}

/** What was written for it is taken away. */
export function bare(member: Member): void {
  Object.assign(member, nothing);
}

export function goAway(member: Member, nowMs: number, forMs: number): void {
  if (member.awaySinceMs !== undefined) return;
  member.awaySinceMs = nowMs;
  member.backAtMs = nowMs + forMs;
}

export function comeBack(member: Member, nowMs: number): void {
  if (member.isDown) return;
  if (member.awaySinceMs !== undefined) member.hereSinceMs = nowMs;
  member.awaySinceMs = undefined;
  member.isLeaving = false;
  member.backAtMs = Number.POSITIVE_INFINITY;
}

export function carries({ written }: Pick<Member, 'written'>): string | undefined {
  return written?.profileRevision;
}

export function isServing({ written, isServedByOther }: Member): boolean {
  return written?.report.isServing ?? isServedByOther;
}

/** Who joins served nobody before, and comes by himself. */
export function isOnTrial({ written }: Member, standing: Standing): boolean {
  return written?.trial?.joined !== true && standing.kind === 'pending' && standing.isProven !== true;
}

/** It served, and what it was given since has put it out, or may have. */
export function isOut(
  member: Member,
  by: { standing: Standing; outcome: Outcome; isTried: boolean; isGood: boolean; nowMs: number },
): boolean {
  const { outcome, isGood } = by;
  // Who is ill by himself is no worse off, and who is back at this very moment has said nothing since.
  const isBack = member.hereSinceMs === by.nowMs && by.isGood;
  const isIll = isBack || member.ails !== undefined || by.nowMs < member.stoppedUntilMs + TICK_MS;
  if (!member.wasServing || isIll) return false;
  if (member.awaySinceMs !== undefined) return member.isDown && by.isTried;
  // What a node makes of the good one is its own affair: also where it never takes it up.
  if (member.begunMs === undefined) return !isGood || outcome !== 'silent';
  if (isGood) return !isServing(member) && outcome === 'good';
  return isOnTrial(member, by.standing) || ['bad', 'unable'].includes(outcome);
}

/** It is given something. */
export function take(
  member: Member,
  rendered: string,
  { givenUnder, waits, nowMs }: { givenUnder: number; waits: number; nowMs: number },
): void {
  const { written, begunMs } = member;
  const isSame = written?.revision === rendered;
  // Who never took up what came in between has nothing to do, and who is about to take up the same goes on.
  const hasIt = written?.report.appliedRevision === rendered;
  const taken = hasIt ? { takes: undefined, waits: 0, begunMs: nowMs } : { takes: rendered, waits, begunMs: undefined };
  const begun = isSame && begunMs !== undefined && !hasIt ? { begunMs: nowMs } : taken;
  // What it has untried, and keeps under another name, puts it out no more than before.
  const wasServing = isServing(member) && !(isSame && written?.trial === undefined);
  Object.assign(member, { wasServing, givenUnder, isServedByOther: false, ...begun });
}

/** It has found out long ago what it makes of what it carries: one that was away meanwhile does so as it returns. */
export function isSettled({ written, begunMs }: Member, nowMs: number): boolean {
  const { health, isServing: serves } = written?.report ?? silence;
  if (health === undefined || begunMs === undefined || !serves) return false;
  return nowMs - Math.max(begunMs, Date.parse(health.measuredAt)) > SETTLED_MS;
}

/** It is away by an earlier attempt, and for so long that nobody waits for it. */
export function isPast(
  { written, awaySinceMs }: Member,
  state: { readonly attempt?: number | undefined } | undefined,
  nowMs: number,
): boolean {
  return (written?.trial?.attempt ?? 0) < (state?.attempt ?? 0) && nowMs >= (awaySinceMs ?? nowMs) + AWAY_MS;
}

/** It does not serve since it was given the target, though it did before. */
export function isHurt(
  member: Member,
  outcome: Outcome,
  by: { target: string; state: RolloutState | undefined; isGood: boolean; nowMs: number },
): boolean {
  const { wasServing, written, isDown, begunMs } = member;
  if (!wasServing || carries(member) !== by.target || isPast(member, by.state, by.nowMs)) return false;
  // Who returns to what is good does not try it: what it makes of that is not counted.
  if (by.isGood && written?.trial === undefined) return false;
  return isDown || (begunMs !== undefined && outcome === 'unable');
}

/** Something will become of it without anybody's doing. */
export function isBusy(member: Member, outcome: Outcome, nowMs: number): boolean {
  const { written, awaySinceMs, backAtMs, begunMs } = member;
  if (backAtMs < Number.POSITIVE_INFINITY && !member.isDown) return true;
  if (written === undefined || awaySinceMs !== undefined || member.ails === 'silent') return false;
  if (outcome === 'silent') return false;
  const { appliedRevision, health, isServing: serves } = written.report;
  const isDue = written.trial !== undefined && health === undefined;
  const isDoomed = outcome === 'later' && nowMs - (begunMs ?? nowMs) < LATER_MS;
  const isBlinking = !serves && outcome !== 'unable' && member.ails !== 'unable';
  return appliedRevision !== written.revision || isDue || isDoomed || isBlinking;
}

/** As a rollout sees it. */
export function seen(member: Member, sighting: Sighting | undefined, healthFactor: number, nowMs: number): RolloutNode {
  const { written, awaySinceMs, hereSinceMs } = member;
  if (written === undefined || sighting === undefined) return seenAs(member, { kind: 'settled' });
  return seenAs(member, standingOf(written, { sighting, awaySinceMs, hereSinceMs, healthFactor, nowMs }));
}

function seenAs(member: Member, standing: Standing): RolloutNode {
  const { name, zone, pool, written, awaySinceMs, isLeaving, isServedByOther } = member;
  const { attempt, joined, late, served } = written?.trial ?? {};
  return {
    ...{ name, zone, pool, awaySinceMs, carries: carries(member), isServing: isServing(member), isSame: false },
    ...{ isReachable: awaySinceMs === undefined, isJudged: written?.trial !== undefined, isLeaving, isServedByOther },
    ...{ attempt, createdAtMs: member.bornMs, hasJoined: joined, isLate: late, wasServed: served, standing },
  };
}

/** How the trial that it is given is marked. */
export function marksOf({ hasJoined: joined, wasServed: served, isLate: late }: Given): Partial<TrialTerms> {
  return { joined, served, late };
}

/** What its agent has measured: once in a trial, whatever becomes of it. */
export function healthOf(
  { profileRevision, trial, report: { health } }: WrittenFacts,
  { revision, probes, nowMs }: { revision: string; probes: NodeHealth['probes']; nowMs: number },
): NodeHealth {
  const attempt = trial?.attempt;
  const isMeasured = health?.attempt === attempt && health?.profileRevision === profileRevision;
  const measuredAt = (isMeasured ? health?.measuredAt : undefined) ?? new Date(nowMs).toISOString();
  return { revision, profileRevision, attempt, soakSeconds: 0, ...figures, probes, measuredAt };
}

/** An agent writes what it has to say, and nothing that stands there already. */
export function saysMore(
  { appliedRevision, isServing: serves, health }: WrittenFacts['report'],
  more: Partial<WrittenFacts['report']>,
): boolean {
  const of = (said: WrittenFacts['report']['health']): string =>
    `${said?.revision} ${said?.attempt} ${said?.profileRevision} ${said?.probes?.[0]?.ok}`;
  return appliedRevision !== more.appliedRevision || serves !== more.isServing || of(health) !== of(more.health);
}

/** FNV-1a: the same word falls out the same, in whatever order nodes are asked. */
export function hash(text: string, seed: number): number {
  let value = 0x811c9dc5 ^ seed;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return (value ^ (value >>> 13)) >>> 0;
}
