import type { WrittenFacts } from './facts.ts';

/**
 * What an operator has seen of one node, by its own clock: neither that of the node nor that of the operator before it need be right.
 * One that stands by sees as much as one that acts.
 */
export interface Sighting {
  /** Since when the node carries its revision of the profile, in this attempt: a change of the cluster's facts is no new one. */
  readonly sinceMs: number;
  /** Since when this operator has seen that, or nobody has changed anything of it: what condemns a node must have stood for a while. */
  readonly seenMs: number;
  /** When its agent last took up what was written, or began to measure anew. */
  readonly heardMs: number;
  /** What was written in this attempt and its agent has not had yet, the oldest first: a move to anything else is none. */
  readonly awaited: readonly string[];
  /** Since when its agent has not moved towards what stands there; undefined where it has applied it. */
  readonly behindSinceMs: number | undefined;
  /** Since when it does not serve; undefined where it does. */
  readonly downSinceMs: number | undefined;
}

/** No clock is further off: the certificates of the API server would not be believed. */
const MAX_SKEW_MS = 600_000;

/** Of more an agent that is behind need not have heard. */
const MAX_AWAITED = 16;

/** What follows from the state that is seen now. Pure; `old` and `before` are undefined for what is seen for the first time. */
export function sighting(
  old: WrittenFacts | undefined,
  before: Sighting | undefined,
  now: WrittenFacts,
  nowMs: number,
): Sighting {
  if (old === undefined || before === undefined || !isSameTrial(old, now)) {
    const isFound = old === undefined;
    const sinceMs = isFound ? longSince(now.writtenAtMs, nowMs) : nowMs;
    return {
      ...{
        sinceMs,
        seenMs: isFound ? longSince(now.touchedAtMs, nowMs) : nowMs,
        heardMs: sinceMs,
        awaited: isBehind(now) ? [now.revision] : [],
      },
      behindSinceMs: isBehind(now) ? sinceMs : undefined,
      downSinceMs: isDown(now) ? (isFound ? longSince(now.report.changedMs, nowMs) : nowMs) : undefined,
    };
  }
  const isNew = old.revision !== now.revision;
  const awaited = isNew ? [...before.awaited, now.revision].slice(-MAX_AWAITED) : before.awaited;
  const isOther = old.report.appliedRevision !== now.report.appliedRevision;
  const at = isOther ? awaited.lastIndexOf(now.report.appliedRevision) : -1;
  const hasMoved = at >= 0;
  const isAnew = old.report.health !== undefined && now.report.health === undefined;
  return {
    ...{ sinceMs: before.sinceMs, seenMs: before.seenMs, heardMs: hasMoved || isAnew ? nowMs : before.heardMs },
    awaited: awaited.slice(at + 1),
    behindSinceMs: isBehind(now) ? ((hasMoved ? undefined : before.behindSinceMs) ?? nowMs) : undefined,
    downSinceMs: isDown(now) ? (before.downSinceMs ?? nowMs) : undefined,
  };
}

/** What is old by any clock is so: an operator that dies again and again would wait for ever. What may be of this moment begins now. */
function longSince(atMs: number | undefined, nowMs: number): number {
  return atMs !== undefined && nowMs - atMs > MAX_SKEW_MS ? atMs : nowMs;
}

/** Of all nodes, by their names. */
export class Sightings {
  readonly #of = new Map<string, Sighting>();

  get(node: string): Sighting | undefined {
    return this.#of.get(node);
  }

  note(node: string, old: WrittenFacts | undefined, now: WrittenFacts | undefined, nowMs: number): void {
    if (now === undefined) this.#of.delete(node);
    else this.#of.set(node, sighting(old, this.#of.get(node), now, nowMs));
  }
}

function isSameTrial(a: WrittenFacts, b: WrittenFacts): boolean {
  const isSame = a.uid === b.uid && a.profile === b.profile && a.profileRevision === b.profileRevision;
  return isSame && a.trial?.attempt === b.trial?.attempt && (a.trial === undefined) === (b.trial === undefined);
}

export function isBehind({
  report,
  revision,
  isIntact,
}: Pick<WrittenFacts, 'report' | 'revision' | 'isIntact'>): boolean {
  return report.appliedRevision !== revision || !isIntact;
}

function isDown({ report }: WrittenFacts): boolean {
  return !report.isServing;
}
