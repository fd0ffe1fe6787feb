import type { NodeHealth } from '../../api/v1alpha1/node.ts';
import type { TrialTerms, WrittenFacts } from './facts.ts';
import { isBehind, type Sighting } from './sightings.ts';
import { isReadable } from './versions.ts';

/** Where a node stands with the configuration that was written for it. */
export type Standing =
  /** It has it and serves, and nothing speaks against it. */
  | { readonly kind: 'settled' }
  /**
   * Not decided yet; looked at again then at the latest. Missing: it is away, or was not heard of for a while. Well: it has it and serves,
   * and has not told yet how. Proven: all that is not known is whether its agent is heard of still.
   */
  | {
      readonly kind: 'pending';
      readonly untilMs: number;
      readonly isMissing?: boolean;
      readonly isWell?: boolean;
      readonly isProven?: boolean;
    }
  /** It has proved itself long ago, and does not serve now, or its agent is not heard of any more. */
  | { readonly kind: 'down'; readonly sinceMs: number; readonly message: string }
  /** The configuration is at fault, or seems so. */
  | { readonly kind: 'bad'; readonly reason: TrialReason; readonly message: string }
  /** Nothing was heard of it for too long: who knows. */
  | { readonly kind: 'lost' };

export const trialReasons = ['ConfigRefused', 'NotServing', 'ProbeFailed', 'MoreServFail', 'Slower'] as const;
export type TrialReason = (typeof trialReasons)[number];

/** An agent that lives has a new configuration within two seconds; a pod that starts may take so long. */
export const APPLY_MS = 120_000;
/** Where no trial is due the next batch waits no longer than that for a node that is silent. */
export const SETTLE_MS = 30_000;
/** A machine that is started anew is back by then. */
export const AWAY_MS = 300_000;
/** Beyond the soak: probes take a while, and so does a status. */
const REPORT_MS = 30_000;
/** An operator that has just begun listens for so long before it takes a node for lost. */
const LISTEN_MS = 60_000;
/** A listener may be away for a moment, as while an agent is replaced. */
export const NOT_SERVING_MS = 10_000;

/** With fewer queries a share means nothing. */
const MIN_QUERIES = 50;
/** Of fewer, the 99th percentile is the slowest one alone. */
const MIN_WAITS = 100;
/** Differences below these are noise, by whatever factor. */
const SERVFAIL_FLOOR_PERMILLE = 20;
const P99_FLOOR_MICROS = 10_000;
/** Without a past to compare with, only what is plainly broken counts. */
const BROKEN_PERMILLE = 500;

const SETTLED: Standing = { kind: 'settled' };
const LOST: Standing = { kind: 'lost' };
const NOT_SERVING = 'it does not serve';
const SILENT = 'nothing is heard of its agent';

type TrialFacts = Pick<WrittenFacts, 'revision' | 'profileRevision' | 'trial' | 'writtenAtMs' | 'isIntact' | 'report'>;

/** What is known of the node from elsewhere. */
interface Circumstances {
  readonly sighting: Sighting;
  /** Since when the node is not ready; undefined where it is. */
  readonly awaySinceMs: number | undefined;
  /** Since when it is; undefined where that is not said. */
  readonly hereSinceMs?: number | undefined;
  /** In percent. */
  readonly healthFactor: number;
  readonly nowMs: number;
}

/** Pure. */
export function standingOf(facts: TrialFacts, circumstances: Circumstances): Standing {
  const { revision, trial, isIntact, report } = facts;
  const { awaySinceMs, healthFactor, nowMs } = circumstances;
  const sighting = sinceReturn(circumstances);
  const awayUntilMs = awayUntil(facts, circumstances);
  if (awayUntilMs !== undefined) return nowMs < awayUntilMs ? pending(awayUntilMs, { isMissing: true }) : LOST;
  const proof = proofOf(facts);
  // What has proved itself and is away since is not heard any more: that it said last that it ends is no word about the revision.
  if (awaySinceMs !== undefined && proof !== undefined) return judged(proof, healthFactor);
  // What somebody made of it behind our back is put right first, and so is a format that the agent has said only now that it does
  // not read: nobody is judged by them.
  if (report.isRefused && isIntact && isReadable(revision, report.configVersions))
    return { kind: 'bad', reason: 'ConfigRefused', message: report.failure ?? '' };
  if (trial === undefined) return untried(facts, sighting, nowMs);
  if (proof !== undefined) return proven(facts, judged(proof, healthFactor), trial, sighting, nowMs);

  const endMs = hardEnd(sighting, trial);
  if (isBehind(facts)) {
    const behindMs = sighting.behindSinceMs ?? nowMs;
    const lostMs = Math.max(behindMs + APPLY_MS, sighting.seenMs + LISTEN_MS);
    if (nowMs >= lostMs) return LOST;
    if (nowMs < endMs || !isIntact) {
      const missingMs = silentSince(sighting, nowMs);
      return nowMs < missingMs ? pending(missingMs) : pending(lostMs, { isMissing: true });
    }
  }
  if (!report.isServing) return unserving(report.failure, sighting, nowMs);
  // An agent of an older version measures nothing: that it has served for so long is all there is.
  const soakedMs = sighting.sinceMs + trial.soakSeconds * 1000;
  if (!report.measures) return nowMs < soakedMs ? pending(soakedMs, { isWell: true }) : SETTLED;
  // An agent that begins anew measures anew, and who is heard of for so long, and serves, is not silent.
  const dueMs = Math.max(measuredBy(sighting.heardMs, trial), sighting.seenMs + LISTEN_MS);
  if (nowMs >= dueMs) return LOST;
  // Who never tells has not proved anything, however often facts change.
  return nowMs < endMs ? pending(Math.min(dueMs, endMs), { isWell: true }) : LOST;
}

/** What a node did not do while it was away it may do now: it is looked at anew. */
function sinceReturn({ sighting, hereSinceMs = 0, nowMs }: Circumstances): Sighting {
  const { seenMs, downSinceMs } = sighting;
  const later = (ms: number): number => Math.max(ms, Math.min(hereSinceMs, nowMs));
  return {
    ...sighting,
    seenMs: later(seenMs),
    downSinceMs: downSinceMs === undefined ? undefined : later(downSinceMs),
  };
}

/** From when on an agent that is behind, and does not move, is silent. */
function silentSince({ behindSinceMs, seenMs }: Sighting, nowMs: number): number {
  return Math.max(behindSinceMs ?? nowMs, seenMs) + SETTLE_MS;
}

/** Whether its agent is silent, or when that can be told of who is seen only since a moment ago; undefined where it is not. */
function silenceOf(facts: TrialFacts, sighting: Sighting, nowMs: number) {
  if (!isBehind(facts)) return undefined;
  const [silentMs, knownMs] = [silentSince(sighting, nowMs), sighting.seenMs + SETTLE_MS];
  if (nowMs >= silentMs) return { isOver: true, atMs: silentMs };
  return nowMs < knownMs ? { isOver: false, atMs: knownMs } : undefined;
}

function pending(untilMs: number, more: { readonly isMissing?: boolean; readonly isWell?: boolean } = {}): Standing {
  return { kind: 'pending', untilMs, ...more };
}

/** Nothing is at stake but that it takes it up. Facts that change later it follows at its own pace, and serves meanwhile. */
function untried(facts: TrialFacts, sighting: Sighting, nowMs: number): Standing {
  const { isServing, failure } = facts.report;
  const silence = silenceOf(facts, sighting, nowMs);
  if (silence !== undefined) return silence.isOver ? LOST : pending(silence.atMs);
  return isServing ? SETTLED : unserving(failure, sighting, nowMs);
}

/**
 * What a node has found out about a revision stays found out, whatever becomes of the node. That it stops serving is held against the revision
 * for as long as that it goes away is.
 */
function proven(facts: TrialFacts, verdict: Standing, trial: TrialTerms, sighting: Sighting, nowMs: number): Standing {
  const { writtenAtMs, report } = facts;
  if (verdict.kind === 'bad') return verdict;
  const silence = silenceOf(facts, sighting, nowMs);
  if (silence !== undefined)
    return silence.isOver
      ? { kind: 'down', sinceMs: silence.atMs, message: SILENT }
      : { kind: 'pending', untilMs: silence.atMs, isProven: true };
  if (report.isServing) return verdict;
  const sinceMs = sighting.downSinceMs ?? nowMs;
  if (sinceMs < trialEnd(writtenAtMs, trial) || hasStoppedInTrial(report))
    return unserving(report.failure, sighting, nowMs);
  return { kind: 'down', sinceMs, message: report.failure ?? NOT_SERVING };
}

/** By the clock of its node alone: an operator that has just begun has not seen when it stopped. */
function hasStoppedInTrial({ changedMs, health }: TrialFacts['report']): boolean {
  return changedMs !== undefined && changedMs < Date.parse(health?.measuredAt ?? '') + REPORT_MS;
}

function unserving(failure: string | undefined, { downSinceMs, seenMs }: Sighting, nowMs: number): Standing {
  const badMs = Math.max(downSinceMs ?? nowMs, seenMs) + NOT_SERVING_MS;
  if (nowMs < badMs) return pending(badMs);
  return { kind: 'bad', reason: 'NotServing', message: failure ?? NOT_SERVING };
}

/** What the node has told of this attempt. */
function proofOf({ revision, profileRevision, trial, report: { health } }: TrialFacts): NodeHealth | undefined {
  if (trial === undefined || health === undefined || !isOf(trial, health)) return undefined;
  // With what the cluster was like then: an agent follows facts at its own pace, and measures but once.
  const isThis = health.attempt !== undefined && health.profileRevision === profileRevision;
  return health.revision === revision || (profileRevision !== undefined && isThis) ? health : undefined;
}

/**
 * Until when a node is waited for that went away in its trial, whatever its agent said; undefined where it did not. A kubelet that does not
 * live through a change is found out only after its trial, by the time that the control plane gives it.
 */
function awayUntil(facts: TrialFacts, { sighting, awaySinceMs, nowMs }: Circumstances): number | undefined {
  const { trial, writtenAtMs } = facts;
  if (trial === undefined || awaySinceMs === undefined) return undefined;
  // Of what has proved itself, by the time that stands there: to an operator that has just begun all is new.
  const sinceMs = proofOf(facts) === undefined ? sighting.sinceMs : writtenAtMs;
  const endMs = trialEnd(sinceMs, trial);
  if (awaySinceMs >= endMs && nowMs >= endMs) return undefined;
  return Math.min(Math.max(awaySinceMs, sinceMs), endMs) + AWAY_MS;
}

/** When the agent must have told how it served. */
function trialEnd(sinceMs: number, { soakSeconds }: TrialTerms): number {
  return sinceMs + soakSeconds * 1000 + APPLY_MS + REPORT_MS;
}

/** From `sinceMs` on, though its process was replaced shortly before it had soaked. */
function measuredBy(sinceMs: number, { soakSeconds }: TrialTerms): number {
  return sinceMs + 2 * soakSeconds * 1000 + APPLY_MS + REPORT_MS;
}

/** However often its agent begins anew, it is not waited for any longer. */
function hardEnd({ sinceMs, seenMs }: Sighting, trial: TrialTerms): number {
  return Math.max(measuredBy(measuredBy(sinceMs, trial), trial), seenMs + 2 * LISTEN_MS);
}

/** Not of an earlier attempt at the same revision. An agent that says nothing of attempts is of a version that knows none. */
function isOf(trial: TrialTerms, health: NodeHealth): boolean {
  return health.attempt === undefined || trial.attempt === undefined || health.attempt === trial.attempt;
}

function judged(
  { queries, servFailPermille, waited, p99Micros, before, probes }: NodeHealth,
  healthFactor: number,
): Standing {
  const probe = probes?.find(({ ok }) => !ok);
  if (probe !== undefined) {
    return { kind: 'bad', reason: 'ProbeFailed', message: `${probe.name}: ${probe.message ?? 'not resolved'}` };
  }
  if (queries < MIN_QUERIES) return SETTLED;
  if (before === undefined || before.queries < MIN_QUERIES) {
    if (servFailPermille < BROKEN_PERMILLE) return SETTLED;
    return { kind: 'bad', reason: 'MoreServFail', message: `${percent(servFailPermille)} of its answers are SERVFAIL` };
  }
  if (isWorse(servFailPermille, before.servFailPermille, SERVFAIL_FLOOR_PERMILLE, healthFactor)) {
    const message = `${percent(servFailPermille)} of its answers are SERVFAIL, ${percent(before.servFailPermille)} before`;
    return { kind: 'bad', reason: 'MoreServFail', message };
  }
  const waits = Math.min(waited ?? queries, before.waited ?? before.queries);
  if (waits >= MIN_WAITS && isWorse(p99Micros, before.p99Micros, P99_FLOOR_MICROS, healthFactor)) {
    const message = `99 of 100 answers within ${millis(p99Micros)}, ${millis(before.p99Micros)} before`;
    return { kind: 'bad', reason: 'Slower', message };
  }
  return SETTLED;
}

function isWorse(now: number, before: number, floor: number, factor: number): boolean {
  return now - before >= floor && now * 100 > before * factor;
}

function percent(permille: number): string {
  return `${permille / 10} %`;
}

function millis(micros: number): string {
  return `${Math.round(micros / 1000)} ms`;
}
