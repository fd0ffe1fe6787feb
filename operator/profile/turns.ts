/** Whose turn it is. */
import { isSound, type RolloutNode, type TriedNode } from './rollout-node.ts';
import { spread } from './spread.ts';

/**
 * At most `room` nodes, of which at most `quiet` are disturbed anew. Those first that an earlier edit has left somewhere in between, of them
 * first who does not serve, and last who does well; then those that have nothing to lose; those last that somebody takes out of the cluster,
 * of which little can be learned.
 */
export function choose(
  movers: readonly TriedNode[],
  good: string | undefined,
  room: number,
  quiet: number,
  had: readonly RolloutNode[],
): TriedNode[] {
  if (room <= 0) return [];
  const ranks: TriedNode[][] = [[], [], [], [], [], [], []];
  for (const node of movers) {
    const isBetween = node.carries !== undefined && node.carries !== good;
    const between = node.isDisturbed ? 0 : !node.isServing ? 1 : isFoundBad(node, good) ? 2 : 3;
    const rank = isBetween ? between : node.isLeaving === true ? 6 : isSound(node, good) ? 5 : 4;
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

/** By what an edit has superseded. It serves though it is ill where it is not disturbed: of those that joined there may be any number. */
export function isFoundBad({ carries, isJudged, isStale, standing }: TriedNode, good: string | undefined): boolean {
  return carries !== good && standing.kind === 'bad' && isJudged && !isStale;
}
