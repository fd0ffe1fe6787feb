import type { NodeHealth } from '../../api/v1alpha1/node.ts';
import type { TrialTerms, WrittenFacts } from './facts.ts';
import { isBehind, type Sighting } from './sightings.ts';
import { isReadable } from './versions.ts';

/** Where a node stands with the configuration that was written for it. */
export type Standing =
  /** It has it and serves, and nothing speaks against it. */
  | { readonly kind: 'settled' }
  /** Not decided yet; looked at again then at the latest. */
  | { readonly kind: 'pending'; readonly untilMs: number }
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
/** A listener may be away for a moment, as while an agent is replaced. */
const NOT_SERVING_MS = 10_000;

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

type TrialFacts = Pick<WrittenFacts, 'revision' | 'trial' | 'isIntact' | 'report'>;

/** What is known of the node from elsewhere. */
interface Circumstances {
  readonly sighting: Sighting;
  /** Since when the node is not ready; undefined where it is. */
  readonly awaySinceMs: number | undefined;
  /** In percent. */
  readonly healthFactor: number;
  readonly nowMs: number;
}

/** Pure. */
export function standingOf(facts: TrialFacts, circumstances: Circumstances): Standing {
  const { revision, trial, isIntact, report } = facts;
  const { sighting, awaySinceMs, healthFactor, nowMs } = circumstances;
  const by = (untilMs: number, otherwise: Standing): Standing =>
    nowMs < untilMs ? { kind: 'pending', untilMs } : otherwise;
  const awayUntilMs = awayUntil(facts, circumstances);
  if (awayUntilMs !== undefined) return by(awayUntilMs, LOST);
  // What has proved itself and is away since is not heard any more: that it said last that it ends is no word about the revision.
  if (awaySinceMs !== undefined && trial !== undefined && report.health !== undefined && isOf(trial, report.health))
    return judged(report.health, healthFactor);
  // What somebody made of it behind our back is put right first, and so is a format that the agent has said only now that it does
  // not read: nobody is judged by them.
  if (report.isRefused && isIntact && isReadable(revision, report.configVersions))
    return { kind: 'bad', reason: 'ConfigRefused', message: report.failure ?? '' };
  const endMs = trial === undefined ? Number.POSITIVE_INFINITY : hardEnd(sighting, trial);
  if (isBehind(facts)) {
    const untilMs = (sighting.behindSinceMs ?? nowMs) + (trial === undefined ? SETTLE_MS : APPLY_MS);
    if (nowMs >= untilMs || nowMs < endMs || !isIntact)
      return by(nowMs < endMs ? Math.min(untilMs, endMs) : untilMs, LOST);
  }
  if (!report.isServing) {
    const bad: Standing = { kind: 'bad', reason: 'NotServing', message: report.failure ?? 'it does not serve' };
    return by((sighting.downSinceMs ?? nowMs) + NOT_SERVING_MS, bad);
  }
  if (trial === undefined) return SETTLED;
  if (report.health?.revision === revision && isOf(trial, report.health)) return judged(report.health, healthFactor);
  // An agent of an older version measures nothing: that it has served for so long is all there is.
  if (!report.measures) return by(sighting.sinceMs + trial.soakSeconds * 1000, SETTLED);
  // An agent that begins anew measures anew, and who is heard of for so long, and serves, is not silent.
  const dueMs = measuredBy(sighting.heardMs, trial);
  if (nowMs >= dueMs) return LOST;
  return by(Math.min(dueMs, endMs), SETTLED);
}

/**
 * Until when a node is waited for that went away in its trial, whatever its agent said; undefined where it did not. A kubelet that does not
 * live through a change is found out only after its trial, by the time that the control plane gives it.
 */
function awayUntil({ trial }: TrialFacts, { sighting, awaySinceMs, nowMs }: Circumstances): number | undefined {
  if (trial === undefined || awaySinceMs === undefined) return undefined;
  const endMs = trialEnd(sighting, trial);
  if (awaySinceMs >= endMs && nowMs >= endMs) return undefined;
  return Math.min(Math.max(awaySinceMs, sighting.sinceMs), endMs) + AWAY_MS;
}

/** When the agent must have told how it served. */
function trialEnd({ sinceMs }: Sighting, { soakSeconds }: TrialTerms): number {
  return sinceMs + soakSeconds * 1000 + APPLY_MS + REPORT_MS;
}

/** From `sinceMs` on, though its process was replaced shortly before it had soaked. */
function measuredBy(sinceMs: number, { soakSeconds }: TrialTerms): number {
  return sinceMs + 2 * soakSeconds * 1000 + APPLY_MS + REPORT_MS;
}

/** However often its agent begins anew, it is not waited for any longer. */
function hardEnd({ seenMs }: Sighting, trial: TrialTerms): number {
  return measuredBy(measuredBy(seenMs, trial), trial);
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
