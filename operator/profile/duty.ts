/**
 * The reconciler's duties, each a kind of key:
 *   plan            look at the whole world, decide what every node shall have, and name those that differ
 *   patterns        go on with what takes long to find out of a spec
 *   node/NAME       make one node so
 *   profile/NAME    report how one profile fares
 */
export const PLAN = 'plan';
export const PATTERNS = 'patterns';
export const NODE = 'node/';
export const PROFILE = 'profile/';

export type Duty = 'plan' | 'patterns' | 'node' | 'profile';

/** What a key is about, by the names under which logs are searched. */
export interface KeyFacts {
  readonly duty: Duty;
  readonly node?: string;
  readonly profile?: string;
}

export function factsOf(key: string): KeyFacts {
  if (key.startsWith(NODE)) return { duty: 'node', node: key.slice(NODE.length) };
  if (key.startsWith(PROFILE)) return { duty: 'profile', profile: key.slice(PROFILE.length) };
  return { duty: key === PATTERNS ? 'patterns' : 'plan' };
}
