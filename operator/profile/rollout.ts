import type { WrittenFacts } from './facts.ts';

/** What a node shall have, as far as stepping from one revision to the next is concerned. */
export interface Target {
  readonly node: string;
  readonly revision: string;
}

/**
 * The nodes of one profile that may move to their revision now: all that are not there yet. Pure.
 *
 * The seam of stepwise rollouts: whoever holds nodes back (canary, maxUnavailable, a failed probe) returns fewer here and
 * nothing else changes, because a node that is not named keeps what it has.
 */
export function nextBatch(
  targets: readonly Target[],
  written: (node: string) => Pick<WrittenFacts, 'revision'> | undefined,
): string[] {
  return targets.filter(({ node, revision }) => written(node)?.revision !== revision).map(({ node }) => node);
}
