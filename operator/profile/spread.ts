/** Where a node stands, as far as failing together goes. */
interface Placed {
  readonly name: string;
  readonly zone: string;
  readonly pool: string;
}

/**
 * At most so many of the nodes, from all zones in turn, and within a zone from all pools in turn, by name: what is wrong with a zone or
 * with a pool shows early, and no zone carries the whole risk. Those come first that have the fewest so far: a batch may be one node.
 * Pure; the order of `nodes` does not count.
 * @param before the nodes that had their turn
 */
export function spread<N extends Placed>(nodes: readonly N[], atMost: number, before: Iterable<Placed> = []): N[] {
  if (atMost <= 0 || nodes.length === 0) return [];
  const [zones, pools] = [new Map<string, number>(), new Map<string, number>()];
  for (const { zone, pool } of before) {
    count(zones, zone);
    count(pools, poolKey(zone, pool));
  }
  const byPool = inTurn([...nodes].sort(byName), pools, ({ zone, pool }) => poolKey(zone, pool));
  return inTurn(byPool, zones, ({ zone }) => zone).slice(0, atMost);
}

/** By how many of its group come before a node; of equals as they are. */
function inTurn<N>(nodes: readonly N[], had: Map<string, number>, groupOf: (node: N) => string): N[] {
  const turns = nodes.map((node) => ({ node, group: groupOf(node), turn: count(had, groupOf(node)) }));
  turns.sort((a, b) => a.turn - b.turn || compare(a.group, b.group));
  return turns.map(({ node }) => node);
}

/** One more; returns how many there were. */
function count(had: Map<string, number>, group: string): number {
  const before = had.get(group) ?? 0;
  had.set(group, before + 1);
  return before;
}

function poolKey(zone: string, pool: string): string {
  return `${zone}\n${pool}`;
}

function byName(a: Placed, b: Placed): number {
  return compare(a.name, b.name);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
