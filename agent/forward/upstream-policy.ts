import type { Upstream } from './upstream.ts';

/** The order in which one query tries its servers: those that are up first, those that are down as a last resort. */
export type UpstreamPolicy = (upstreams: readonly Upstream[]) => readonly Upstream[];

export type PolicyName = 'Sequential' | 'RoundRobin' | 'Random';

/** @param random a number in [0, 1), as Math.random gives */
export function upstreamPolicy(name: PolicyName, random: () => number = Math.random): UpstreamPolicy {
  let turn = 0;
  const first: Record<PolicyName, (count: number) => number> = {
    Sequential: () => 0,
    RoundRobin: (count) => turn++ % count,
    Random: (count) => Math.floor(random() * count),
  };
  return (upstreams) => {
    if (upstreams.every(isUp)) return rotate(upstreams, first[name]);
    const up = upstreams.filter(isUp);
    const down = upstreams.filter(({ healthy }) => !healthy);
    // One draw a query: a second one for those that are down would make others miss their turn.
    return up.length > 0 ? [...rotate(up, first[name]), ...down] : rotate(down, first[name]);
  };
}

/** Of many servers the first few that are up are asked; the others are there for when these fail, in their order. */
export function amongFirst(count: number, policy: UpstreamPolicy): UpstreamPolicy {
  return (upstreams) => {
    if (upstreams.length <= count) return policy(upstreams);
    const up = upstreams.filter(isUp);
    if (up.length <= count) return policy(upstreams);
    const down = upstreams.filter(({ healthy }) => !healthy);
    return [...policy(up.slice(0, count)), ...up.slice(count), ...down];
  };
}

function isUp({ healthy }: Upstream): boolean {
  return healthy;
}

function rotate(upstreams: readonly Upstream[], first: (count: number) => number): readonly Upstream[] {
  if (upstreams.length < 2) return upstreams;
  const start = first(upstreams.length);
  return start === 0 ? upstreams : [...upstreams.slice(start), ...upstreams.slice(0, start)];
}
