import { isDeepStrictEqual } from 'node:util';
import type { LocalDnsProfile } from '../../api/v1alpha1/profile.ts';
import type { ServiceTarget } from '../../api/v1alpha1/profile-parts.ts';
import type { FieldError } from '../../api/v1alpha1/profile-validation.ts';
import { type DefaultedRollout, defaultedRollout } from '../../api/v1alpha1/rollout-settings.ts';
import { isOfPast, type NodeFacts, placeOf, type TrialTerms, type WrittenFacts } from './facts.ts';
import type { ClusterFacts, Judge, Verdict } from './judge.ts';
import type { World } from './plan.ts';
import type { Intent } from './revisions.ts';
import { planRollout, type RolloutStep } from './rollout.ts';
import { attemptOf, isHeard, type RolloutNode } from './rollout-node.ts';
import type { RolloutState } from './rollout-state.ts';
import { sighting } from './sightings.ts';
import { APPLY_MS, type Standing, standingOf } from './trial.ts';
import { isReadable, type Renderings, renderingFor } from './versions.ts';
import { type WantedBy, wantedOf } from './wanted.ts';

/** What a node is moved to. */
export interface Gift {
  readonly profile: string;
  readonly revision: string;
  readonly trial: TrialTerms | undefined;
  readonly givenAtMs: number;
}

/** Which revision of a profile its nodes carry, and what comes next. */
export interface Course {
  readonly state: RolloutState;
  /** The state has to be written down before anybody is given anything. */
  readonly isNews: boolean;
  /** The newest spec is accepted, and is what is rolled out; otherwise it is what was accepted last. */
  readonly isAccepted: boolean;
  /** Of the target, where the newest spec is accepted: less than that says, where it leads to Services that are not there yet. */
  readonly intent?: Intent | undefined;
  readonly updated: number;
  readonly onTrial: number;
  /** Nodes that have the target, and on which it has not proved itself. */
  readonly unproven: ReadonlySet<string>;
  /** Why nobody can be given what is good; undefined where that can be done. */
  readonly goodLost?: string | undefined;
  readonly lookAgainAtMs: number | undefined;
  /** The revision that each node has or is moved to; absent: none. */
  readonly carried: ReadonlyMap<string, string>;
  /** What each revision means in this cluster as it is now. */
  readonly renderings: ReadonlyMap<string, Renderings | undefined>;
  readonly gifts: ReadonlyMap<string, Gift>;
}

export interface CourseInput {
  readonly world: World;
  readonly profile: LocalDnsProfile;
  /** Those that it serves. */
  readonly nodes: readonly NodeFacts[];
  readonly verdict: Verdict;
  readonly judgeSpec: Judge;
  readonly wantedBy: WantedBy;
}

/** Of whom it is asked what a revision means, and in which cluster. */
export type Meaning = Pick<CourseInput, 'world' | 'profile' | 'nodes' | 'judgeSpec'>;

/** After the canary a revision is known to be no disaster: each batch is watched for a moment only. */
const BATCH_SOAK_SECONDS = 10;

const NOTHING: ReadonlyMap<string, never> = new Map<string, never>();
const SETTLED: Standing = { kind: 'settled' };

/** Undefined where nothing is known that could be rolled out. Pure. */
export function courseOf(input: CourseInput): Course | undefined {
  const { world, profile, nodes, verdict, wantedBy } = input;
  const before = world.state(profile);
  if (verdict.kind === 'unknown') return undefined;
  if (verdict.kind === 'disabled') return before && idle(before);
  const isAccepted = verdict.kind === 'rendered';
  const { revision } = world;
  const wanted = isAccepted ? wantedOf(profile, verdict, { state: before, revision }, wantedBy) : undefined;
  // What is refused changes nothing: what was accepted last goes its way, and follows the facts of the cluster.
  const target = isAccepted ? wanted?.name : before?.target;
  if (target === undefined) return undefined;

  const settings = defaultedRollout(profile.spec.rollout);
  const renderings = new Map<string, Renderings | undefined>();
  if (isAccepted) renderings.set(target, verdict.renderings);
  const meaning = renderingsOf(target, renderings, input);
  const carried = new Map<string, string>();
  const gifts = new Map<string, Gift>();
  const losses = new Map<string, string | undefined>();
  const lossOf = (name: string): string | undefined => {
    if (!losses.has(name)) losses.set(name, whyLost(name, renderings, input));
    return losses.get(name);
  };
  const isLost = (name: string): boolean => lossOf(name) !== undefined;
  const seen = nodes.map((node): RolloutNode => {
    const one = seenNode(node, { world, profile, target, meaning, settings, gifts, isLost });
    if (one.carries !== undefined) carried.set(node.name, one.carries);
    return one;
  });
  const goodLost = before?.good === undefined ? undefined : lossOf(before.good);
  const lost = { isGoodLost: goodLost !== undefined, isTargetLost: isLost(target) };
  const step = planRollout({ target, settings, nodes: seen, before, ...lost, nowMs: world.nowMs });
  const isNews = !isSameState(step.state, before);
  if (!isNews) give(step, { profile: profile.metadata.name, isLost, nowMs: world.nowMs }, settings, gifts, carried);
  for (const name of new Set(carried.values())) renderingsOf(name, renderings, input);
  const { state, updated, onTrial, lookAgainAtMs } = step;
  const unproven = new Set(step.unproven);
  const told = { isAccepted, intent: wanted?.intent, unproven, goodLost, updated, onTrial, lookAgainAtMs };
  return { state, isNews, ...told, carried, renderings, gifts };
}

/** Why nobody can be given a revision; undefined where that can be done. */
function whyLost(name: string, renderings: Map<string, Renderings | undefined>, input: CourseInput) {
  if (renderingsOf(name, renderings, input) !== undefined) return undefined;
  // What is not known yet, as at a start, is not lost.
  const kind = verdictOf(name, input)?.kind;
  if (kind === 'unknown') return undefined;
  return kind === undefined ? 'is not kept any more' : 'cannot be served as the cluster is now';
}

/** Whether there is nothing new to write down; the words for a failure may change with every look. */
export function isSameState(a: RolloutState, b: RolloutState | undefined): boolean {
  const isSame = a.phase === b?.phase && a.target === b.target && a.good === b.good;
  if (!isDeepStrictEqual(a.silent, b?.silent) || a.gone !== b?.gone || a.goneAt !== b?.goneAt) return false;
  const isAsLong = a.startedAt === b?.startedAt && a.stoppedAt === b?.stoppedAt;
  return isSame && isAsLong && a.reason === b.reason && attemptOf(a) === attemptOf(b);
}

function idle({ target, good, attempt }: RolloutState): Course {
  const state: RolloutState = { phase: 'Idle', target, good, attempt };
  const none = { updated: 0, onTrial: 0, unproven: new Set<string>(), lookAgainAtMs: undefined };
  return { state, isNews: false, isAccepted: false, ...none, carried: NOTHING, renderings: NOTHING, gifts: NOTHING };
}

interface Looking {
  readonly world: World;
  readonly profile: LocalDnsProfile;
  readonly target: string;
  /** Of the target. */
  readonly meaning: Renderings | undefined;
  readonly settings: DefaultedRollout;
  readonly isLost: (revision: string) => boolean;
  /** Takes up the gifts that are still on their way. */
  readonly gifts: Map<string, Gift>;
}

function seenNode(node: NodeFacts, { world, profile, target, meaning, settings, gifts, isLost }: Looking): RolloutNode {
  const { name } = profile.metadata;
  const { zone, pool } = placeOf(node);
  const there = world.written(node.name);
  const written = there === undefined || isOfPast(there, node) ? undefined : there;
  const own = written?.profile === name ? written : undefined;
  const gift = world.gifts.get(node.name);
  const isServing = own?.report.isServing ?? false;
  const rendering = meaning && renderingFor(written?.report.configVersions, meaning);
  // An agent that reads nothing of what we write is as good as away: it blocks nobody, and gets the revision once it is upgraded.
  const isReachable = node.isReachable && (meaning === undefined || rendering !== undefined);
  const { awaySinceMs, createdAtMs, isLeaving } = node;
  const common = { name: node.name, zone, pool, isReachable, awaySinceMs, createdAtMs, isLeaving, isServing };
  if (gift?.profile === name && !hasCome(gift, own) && !isLost(gift.revision)) {
    gifts.set(node.name, gift);
    // However long the API server takes for it: that is no word about the node.
    const standing: Standing = { kind: 'pending', untilMs: Math.max(gift.givenAtMs, world.nowMs) + APPLY_MS };
    return { ...common, carries: gift.revision, ...judgedBy(gift.trial), standing, isSame: false };
  }
  const standing =
    written &&
    standingOf(written, {
      sighting: world.sighting(node.name) ?? sighting(undefined, undefined, written, world.nowMs),
      ...{ awaySinceMs, hereSinceMs: node.hereSinceMs },
      ...{ healthFactor: settings.healthFactor, nowMs: world.nowMs },
    });
  if (own === undefined || standing === undefined) {
    // By what the other gave it. Whom somebody was taking out has nothing to lose any more.
    const isHere = standing !== undefined && isHeard({ isServing: written?.report.isServing ?? false, standing });
    const before = { isServing: isHere, isServedByOther: written !== undefined && written.withdrawnAtMs === undefined };
    return { ...common, ...before, carries: undefined, ...judgedBy(undefined), standing: SETTLED, isSame: false };
  }
  // An operator of before revisions wrote it: what it is of is not known, but that its configuration may be the same.
  const carries = own.profileRevision ?? '';
  return {
    ...common,
    carries,
    ...judgedBy(isReadable(own.revision, own.report.configVersions) ? own.trial : undefined),
    standing,
    isSame: carries !== target && own.revision === rendering?.revision,
  };
}

/** A revision that is tried anew is the same, and the trial another. */
export function hasCome({ revision, trial }: Pick<Gift, 'revision' | 'trial'>, own: WrittenFacts | undefined): boolean {
  return own?.profileRevision === revision && (trial === undefined || own.trial?.attempt === trial.attempt);
}

function judgedBy(
  trial: TrialTerms | undefined,
): Pick<RolloutNode, 'isJudged' | 'attempt' | 'hasJoined' | 'wasServed' | 'isLate'> {
  const { attempt, joined, served, late } = trial ?? {};
  return { isJudged: trial !== undefined, attempt, hasJoined: joined, wasServed: served, isLate: late };
}

function give(
  { state, give: given }: RolloutStep,
  { profile, isLost, nowMs }: Pick<Looking, 'isLost'> & { readonly profile: string; readonly nowMs: number },
  { canary, probes }: DefaultedRollout,
  gifts: Map<string, Gift>,
  carried: Map<string, string>,
): void {
  const soakSeconds = state.phase === 'Canary' ? canary.soakSeconds : Math.min(canary.soakSeconds, BATCH_SOAK_SECONDS);
  const trial = { soakSeconds, probes, attempt: state.attempt };
  for (const { node, revision, isTrial, hasJoined, isLate, wasServed } of given) {
    // Somebody may still have to tell what he makes of it.
    if (isLost(revision)) continue;
    const before = { ...(hasJoined && { joined: true }), ...(wasServed !== undefined && { served: wasServed }) };
    const terms = { ...trial, ...before, ...(isLate && { late: true }) };
    gifts.set(node, { profile, revision, trial: isTrial ? terms : undefined, givenAtMs: nowMs });
    carried.set(node, revision);
  }
}

/** What a revision means now; undefined where it is not known, or could not be served. */
export function renderingsOf(
  name: string,
  renderings: Map<string, Renderings | undefined>,
  input: Meaning,
): Renderings | undefined {
  if (renderings.has(name)) return renderings.get(name);
  const verdict = verdictOf(name, input);
  const meaning = verdict?.kind === 'rendered' ? verdict.renderings : undefined;
  renderings.set(name, meaning);
  return meaning;
}

/** Undefined where the revision is not kept. */
function verdictOf(name: string, input: Meaning): Verdict | undefined {
  const { world, profile, judgeSpec } = input;
  const specs = world.revision(name)?.specs;
  if (specs === undefined) return undefined;
  // What becomes of a part that is not valid is up to the mode of today.
  if (profile.spec.mode !== 'Required') return judgeSpec(specs.Preferred, world.cluster);
  const verdict = judgeSpec(specs.Required, world.cluster);
  const serviceTarget = verdict.kind === 'refused' ? lastKnown(name, verdict.errors, input) : undefined;
  return serviceTarget === undefined ? verdict : judgeSpec(specs.Preferred, { ...world.cluster, serviceTarget });
}

/**
 * All or nothing decides about what is new. What nodes carry already follows the rest of the cluster, whatever becomes of one Service: its
 * redirects lead to where they led before. Undefined where no node carries the revision.
 */
function lastKnown(
  revision: string,
  errors: readonly FieldError[],
  { world, profile, nodes }: Meaning,
): ClusterFacts['serviceTarget'] | undefined {
  const carried = nodes.flatMap(({ name }) => {
    const written = world.written(name);
    return written?.profile === profile.metadata.name && written.profileRevision === revision ? written : [];
  });
  // Somebody may have written into one: that says nothing about the others.
  const inOrder = [...carried.filter(({ isIntact }) => isIntact), ...carried];
  const hashes = new Set(inOrder.map((written) => written.revision));
  const config = hashes
    .values()
    .map(world.configOf)
    .find((found) => found !== undefined);
  if (config === undefined) return undefined;
  const failed = new Set(errors.map(({ field }) => field));
  const known = new Map<string, ServiceTarget>();
  for (const [at, { name, target }] of (world.revision(revision)?.specs.Required.redirects ?? []).entries()) {
    if (target.serviceRef === undefined || !failed.has(`spec.redirects[${at}].target.serviceRef`)) continue;
    const addresses = config.redirects?.find((redirect) => redirect.name === name)?.addresses;
    if (addresses !== undefined) known.set(JSON.stringify(target.serviceRef), { kind: 'addresses', addresses });
  }
  return (ref) => known.get(JSON.stringify(ref)) ?? world.cluster.serviceTarget(ref);
}
