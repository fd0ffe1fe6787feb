/** Where a node stands, as far as failing together goes. */
interface Placed {
  readonly name: string;
  readonly zone: string;
  readonly pool: string;
}

/**
 * At most so many of the nodes, from all zones in turn, and within a zone from all pools in turn, by name: what is wrong with a zone or
 * with a pool shows early, and no zone carries the whole risk. Pure; the order of `nodes` does not count.
 */
export function spread<N extends Placed>(nodes: readonly N[], atMost: number): N[] {
  if (atMost <= 0 || nodes.length === 0) return [];
  const zones = new Map<string, Map<string, N[]>>();
  for (const node of [...nodes].sort(byName)) {
    const pools = zones.get(node.zone) ?? new Map<string, N[]>();
    if (pools.size === 0) zones.set(node.zone, pools);
    const pool = pools.get(node.pool);
    if (pool === undefined) pools.set(node.pool, [node]);
    else pool.push(node);
  }
  const lanes = [...zones.keys()].sort().map((zone) => inTurn(zones.get(zone) ?? new Map<string, N[]>()));
  return take(lanes, atMost);
}

/** The nodes of one zone, one of each pool after the other. */
function inTurn<N>(pools: ReadonlyMap<string, readonly N[]>): N[] {
  const lanes = [...pools.keys()].sort().map((pool) => pools.get(pool) ?? []);
  return take(lanes, Number.POSITIVE_INFINITY);
}

function take<N>(lanes: readonly (readonly N[])[], atMost: number): N[] {
  const taken: N[] = [];
  const longest = lanes.reduce((most, lane) => Math.max(most, lane.length), 0);
  for (let turn = 0; turn < longest; turn++) {
    for (const lane of lanes) {
      const node = lane[turn];
      if (node === undefined) continue;
      if (taken.length === atMost) return taken;
      taken.push(node);
    }
  }
  return taken;
}

function byName(a: Placed, b: Placed): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
